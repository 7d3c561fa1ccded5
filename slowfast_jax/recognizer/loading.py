"""`load`: a recipe or published model with its weights becomes a `Recognizer`."""

import inspect
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from convert.load import patterns_of
from slowfast_jax.backends import choice
from slowfast_jax.config import ConfigError, build_model, check_values
from slowfast_jax.distributed.connect import require_devices
from slowfast_jax.inference.load_options import (
    apply_options,
    check_crop,
    named_config,
    network_variables,
    resolve_classes,
)
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.published import PUBLISHED
from slowfast_jax.published.cached_weights import weights_of
from slowfast_jax.published.hub import local_path
from slowfast_jax.recognizer.recognizer import Recognizer
from slowfast_jax.weights import RANDOM, find_checkpoint, stored_config


def load(
    spec: str | os.PathLike | ConfigDict,
    weights: str | os.PathLike | None = None,
    *,
    class_names: str | os.PathLike | Sequence[str] | None = None,
    num_classes: int | None = None,
    clips: int | None = None,
    crops: int | None = None,
    test_crop: int | None = None,
    num_frames: int | None = None,
    sampling_rate: int | None = None,
    average: str | None = None,
    dtype: Any = None,
    skip: str | Sequence[str] = (),
    strip: str | Sequence[str] = (),
    entry: str = "",
    seed: int = 0,
    fold: bool = True,
    backend: str = choice.JAX,
    **network: Any,
) -> Recognizer:
    """Loads a recipe or published model with its weights, ready to predict.

    Options that are None leave the choice to the config.

    Args:
      spec: "path/to/file.py:variant", a zoo name ("kinetics/x3d_xs"), the name of another
        published checkpoint ("pytorchvideo/x3d_xs"), a complete config, or a folder written by
        training: a run (its last checkpoint is used) or a single checkpoint, which store their
        config, class names and weights; or such a checkpoint on the hub, "hf://ORG/NAME[@REVISION]".
      weights: a checkpoint file of PySlowFast (also Caffe2), PyTorchVideo, torchvision, MMAction2,
        PaddleVideo or MindSpore, or a folder of this project: a run, of which the last checkpoint
        is read, or a checkpoint; also on the hub, "hf://ORG/NAME[@REVISION][/FILE]". "published":
        the published file, downloaded unless it is in the cache folder
        (slowfast_jax/published/cached_weights.py). "random": random weights. Default:
        config.test.checkpoint; if that is empty, too, the weights are random, with a warning.
      class_names: name of a shipped list ("kinetics400"), path of a file with one name per line, or
        the names themselves. They set the network's number of classes. Without any, the classes are
        "class 0", "class 1" and so on.
      num_classes: number of classes; needed only where classes have no names.
      clips: clips per video, evenly spaced in time, whose scores are combined. clips=1, crops=1
        takes a single view, at the start of the video, instead of the usual 10 x 3.
      crops: crops per clip: 1 (center), 2 or 3 (along the longer side).
      test_crop: height and width of these crops, in pixels.
      num_frames: frames per clip.
      sampling_rate: distance between two frames of a clip, in frames at the protocol's target_fps.
      average: what is averaged over the positions of the head, "probs" or "logits".
      dtype: of the computation, "float32", "bfloat16" or "float16".
      skip: regular expressions, or one; parameters whose whole path matches one may be missing from
        the checkpoint or have another shape there, and keep their random initialization.
      strip: substrings such as "backbone.", or one, to remove from the checkpoint's parameter names
        (the first occurrence in each name).
      entry: entry of the checkpoint file that holds the weights, such as "ema". Default:
        config.test.entry; if that is empty, too, it is looked for.
      seed: seed of the random initialization.
      fold: whether to fold batch norm into the convolutions: faster, and equal up to rounding.
      backend: what runs the network: "jax", "openvino" or "onnxruntime" (extras of these names;
        onnxruntime is in [onnx]; on the CPU, with norms folded), or "auto": OpenVINO where it is
        installed and the device is a CPU, otherwise JAX.
      **network: other keywords of the network's class (crop_size=160, dropout=0.0).

    Raises:
      ConfigError: the spec, an option or the class list is invalid, or they contradict each other.
      DownloadError, HubError: the weights cannot be downloaded.
      DeviceError: JAX_PLATFORMS names a backend that is not there.
      CheckpointMismatch: the checkpoint belongs to another network; a table shows the differences.
    """
    named = dict(
        num_classes=num_classes, clips=clips, crops=crops, test_crop=test_crop,
        num_frames=num_frames, sampling_rate=sampling_rate, average=average, dtype=dtype,
    )
    options = {key: value for key, value in named.items() if value is not None} | network
    patterns_of(skip)
    if fold not in (True, False):
        raise ConfigError(f"fold is {fold!r}, expected True or False")
    require_devices()
    if not isinstance(spec, (str, os.PathLike, ConfigDict)):
        raise ConfigError(
            f"the network is a {type(spec).__name__}, expected a zoo name, a recipe, the folder of "
            "a run or checkpoint, or a config"
        )
    if isinstance(spec, ConfigDict):
        config = spec
    elif os.path.isdir(spec := local_path(spec)):
        config, stored = stored_config(spec)
        class_names = stored if class_names is None else class_names
    else:
        config = named_config(os.fspath(spec), alone=weights is None)
    unchanged, config = config, config.copy_and_resolve_references()
    with config.unlocked():
        apply_options(config, options, OPTIONS)
        names = resolve_classes(unchanged, class_names, num_classes)
        config.model.num_classes = len(names)
        if weights == PUBLISHED:
            weights = weights_of(config.name, config.model.name)
        if weights == RANDOM:
            config.test.checkpoint = ""
        else:
            given = find_checkpoint(weights) if weights else local_path(config.test.checkpoint)
            config.test.checkpoint = os.fspath(given)
    check_values(config)
    model = build_model(config)
    backend = choice.choose_backend(backend, model)
    check_crop(config, model)
    read = partial(
        network_variables, config, model, names, untrained=weights == RANDOM, skip=skip,
        strip=strip, entry=entry or config.test.entry, seed=seed,
    )
    variables, names = read()
    if fold:
        model, variables = fold_batch_norm(model, variables)
    recognizer = Recognizer(model, variables, config, names, backend)
    recognizer.read_again = read
    return recognizer


# The options that `load` names, for its error messages.
OPTIONS = tuple(
    name for name, parameter in inspect.signature(load).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
)
