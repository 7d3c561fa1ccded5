"""The flags of the command, besides --config and its fields."""

from absl import flags

from slowfast_jax import distributed
from slowfast_jax.option_names import BACKENDS

MODE_NAMES = (
    "train", "eval", "extract", "reproduce", "report", "config", "summary", "bench_data", "compile",
)
BACKEND_MODES = ("eval", "reproduce", "extract")  # that take --backend
FLAGS_OF_EXTRACT = ("endpoint", "whole", "window", "stride", "shard")
FLAG_NAMES = (
    "workdir", "mode", "weights", "backend", "zoo", "clips", "save_scores", "scores",
    "allow_failed", "compare", "endpoint", "whole", "window", "stride", "shard", "clips_per_second",
    "coordinator", "process_id", "num_processes", "meeting_seconds",
)


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines all flags except --config and its fields."""
    flags.DEFINE_string(
        "workdir", None, "Folder for checkpoints and results.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "mode", "train", f"What to do: {', '.join(MODE_NAMES)}.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "weights", None, "eval, extract: checkpoint to use. Default: config.test.checkpoint, else "
        "the last one in --workdir, else config.train.init_from.path. --weights=random takes an "
        "untrained network, --weights=published the published weights, which are downloaded unless "
        "they are in the cache folder (SLOWFAST_JAX_CACHE, default ~/.cache/slowfast_jax), and "
        "--weights=hf://ORGANIZATION/NAME[@REVISION][/FILE] weights on the Hugging Face hub. "
        "reproduce: default published.", flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "backend", "jax", BACKENDS, f"{', '.join(BACKEND_MODES)}: what runs "
        "the network; auto takes OpenVINO where it is installed and the device is a CPU.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "zoo", None, "reproduce: a published checkpoint of docs/model_zoo.md, such as "
        "kinetics/x3d_m; can be repeated.", flag_values=flag_values,
    )
    flags.DEFINE_list(
        "clips", None, "eval: test once with each of these numbers of clips per video, "
        "such as 1,3,5,7,10.", flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "save_scores", False, "eval: write all scores to WORKDIR/scores.npz.",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "scores", None, "eval: instead of testing a network, average the scores that several tests "
        "saved, as in a/scores.npz,b/scores.npz, and print the metrics of the averages.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "allow_failed", False, "eval, extract: exit with 0 even if videos cannot be read.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "compare", None, "report: folder of an earlier test, with which the report compares the "
        "one in --workdir.", flag_values=flag_values,
    )
    flags.DEFINE_string(
        "endpoint", "features", "extract: name of the network's array to extract; a wrong name "
        "lists all. features is the input of the classifier.", flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "whole", False, "extract: keep the endpoint's positions in time and space instead of "
        "averaging over them.", flag_values=flag_values,
    )
    flags.DEFINE_float(
        "window", None, "extract: seconds of video that each row describes; at least, and by "
        "default, those of a clip.", lower_bound=0.001, flag_values=flag_values,
    )
    flags.DEFINE_float(
        "stride", None, "extract: seconds from one window to the next. Default: the window's.",
        lower_bound=0.001, flag_values=flag_values,
    )
    flags.DEFINE_string(
        "shard", "0/1", "extract: the part of the list to process, such as 0/8 to 7/8 in eight "
        "jobs.", flag_values=flag_values,
    )
    flags.DEFINE_float(
        "clips_per_second", None, "bench_data: speed of the training step that loading must keep "
        "up with.", lower_bound=0.001, flag_values=flag_values,
    )
    flags.DEFINE_string(
        "coordinator", None, "Address (host:port) of process 0, to which the others connect.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "process_id", None, "Rank of this process, counted from 0.", flag_values=flag_values
    )
    flags.DEFINE_integer("num_processes", None, "Number of processes.", flag_values=flag_values)
    flags.DEFINE_float(
        "meeting_seconds", distributed.MEETING_SECONDS,
        "Seconds that the processes wait for each other at the start.", lower_bound=1.0,
        flag_values=flag_values,
    )
