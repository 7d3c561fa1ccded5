"""A page in the browser: choose a video, and get it back with people and actions drawn in.

    python -m slowfast_jax.web --config kinetics/x3d_xs --weights x3d_xs.pyth
    python -m slowfast_jax.web --weights RUN --weights OTHER_RUN --samples VIDEOS

The second form offers two networks to choose from; folders of runs store their configs.
"""

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":  # before the imports below, which take a second
    interrupts.end_at_once()
    malloc.restart_with_settings()

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from absl import logging

from data_pipelines.command import Parser, called_as, explain, install, positive
from slowfast_jax import compilation_cache
from slowfast_jax.detectors.load import DEFAULT as DEFAULT_DETECTOR
from slowfast_jax.log_file import show_log
from slowfast_jax.option_names import BACKENDS, as_options, whole_number
from slowfast_jax.serve.address import port, web_address, why_not_free
from slowfast_jax.web.store import Limits, Store

WITHOUT_EXTRA = f"the page needs further packages; {install('web')}"
PACKAGES = ("anyio", "fastapi", "gradio", "starlette", "uvicorn")
LOCAL = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
DEFAULT = "kinetics/x3d_xs"


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the page's server until Ctrl-C or SIGTERM.

    Returns the exit status: 0, or 2 if an argument or a network is wrong.
    """
    arguments = _parser().parse_args(argv)
    show_log(logging.WARNING)
    try:
        from slowfast_jax.web.app import Server, make_app
    except ImportError as error:
        if error.name not in PACKAGES:
            raise
        print(f"error: {WITHOUT_EXTRA} ({error})", file=sys.stderr)
        return 2
    from slowfast_jax.web.networks import load_networks
    from slowfast_jax.web.samples import find_samples, generate_samples

    if reason := why_not_free(arguments.host, arguments.port):
        print(f"error: {reason}", file=sys.stderr)
        return 2
    compilation_cache.keep_compiled()
    options = {"backend": arguments.backend}
    if arguments.labels:
        options["class_names"] = arguments.labels
    store = None
    try:
        samples = find_samples(arguments.samples) if arguments.samples else {}
        print("loading the networks", file=sys.stderr, flush=True)
        chosen = arguments.config, arguments.weights
        if not any(chosen):
            chosen = [DEFAULT], ["published"]
        networks = load_networks(*chosen, arguments.detector, **options)
        for number in (signal.SIGINT, signal.SIGTERM):  # from here on, there are files to remove
            signal.signal(number, _interrupt)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, _terminate)  # the terminal is closed
        store = Store(Limits(arguments.max_mb, arguments.max_video_seconds, arguments.queue))
        samples = samples or generate_samples(store.folder / "samples")
        app = make_app(store, networks, samples, _names(arguments.host))
        address = web_address(arguments.host, arguments.port)
        line = f"{', '.join(networks)}: the page is on {address}"
        Server(
            app, arguments.host, arguments.port,
            lambda: print(line, file=sys.stderr, flush=True),
        ).run()
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {as_options(explain(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ended; the files of the page are removed", file=sys.stderr)
    finally:
        if store:
            store.close()
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)  # which the server answers while it runs


def _names(host: str) -> set[str]:
    """The names that the server has in a browser; none if anybody may reach it by any name."""
    if host in LOCAL:
        return {*LOCAL}
    return set() if host in EVERYWHERE else {host}


def _parser() -> Parser:
    parser = Parser(
        prog=called_as("slowfast_jax.web", "slowfast-jax-web"),
        description="A page in the browser: choose a video, and get it back with people and "
        "actions drawn in. Videos stay on this machine, and are removed when the page is closed.",
    )
    parser.add_argument(
        "--config", action="append", default=[],
        help=f"zoo name or recipe (default: {DEFAULT}); can be repeated, each with its --weights",
    )
    parser.add_argument(
        "--weights", action="append", default=[],
        help="checkpoint file, folder of a run or checkpoint, or published (the default); folders "
        "need no --config",
    )
    parser.add_argument(
        "--labels", help="class names: a set such as kinetics400, or a file with one name per line"
    )
    parser.add_argument(
        "--detector", default=DEFAULT_DETECTOR, metavar="NAME",
        help="what finds people, for networks that classify boxes: an .onnx file, a name such as "
        "yolox_nano, or frame for the whole picture (default: %(default)s)",
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, default="jax",
        help="what runs the networks; auto: on a CPU, OpenVINO if it is installed (default: jax)",
    )
    parser.add_argument(
        "--samples", metavar="DIR",
        help="folder of videos that the page offers (default: two generated ones)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1",
        help="address to listen on; any other than the default may let other machines in",
    )
    parser.add_argument(
        "--port", type=port, default=7860, metavar="N", help="port (default: %(default)s)"
    )
    limits = Limits()
    parser.add_argument(
        "--max-mb", type=positive, default=limits.megabytes, metavar="MB",
        help="largest upload in megabytes (default: %(default)g)",
    )
    parser.add_argument(
        "--max-video-seconds", type=positive, default=limits.seconds, metavar="SECONDS",
        help="longest video (default: %(default)g)",
    )
    parser.add_argument(
        "--queue", type=whole_number, default=limits.waiting, metavar="N",
        help="videos that may wait; further ones are refused (default: %(default)s)",
    )
    return parser


def run() -> NoReturn:
    """Runs the command and ends the program."""
    status = cli()
    sys.stderr.flush()
    os._exit(status)  # without waiting for threads: a job may be in the middle of a compilation


if __name__ == "__main__":
    run()
