"""Serves a network over HTTP.

    python -m slowfast_jax.serve kinetics/x3d_xs --weights x3d_xs.pyth
    python -m slowfast_jax.serve network.exported --port 8080
    curl --data-binary @a.mp4 http://127.0.0.1:8000/predict
"""

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":  # before the imports below, which take a second
    interrupts.end_at_once()
    malloc.restart_with_settings()

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import logging

from data_pipelines.command import Parser, explain, install, positive
from data_pipelines.cores import available_cores
from slowfast_jax import compilation_cache
from slowfast_jax.log_file import show_log
from slowfast_jax.option_names import BACKENDS, as_options, whole_number
from slowfast_jax.serve.address import port, web_address, why_not_free

if TYPE_CHECKING:
    from slowfast_jax.serve.network import Served

TOKEN = "SLOWFAST_JAX_TOKEN"  # environment variable
WITHOUT_EXTRA = f"serving needs further packages; {install('serve')}"


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the service until SIGTERM or Ctrl-C, which let accepted requests be answered first.

    Returns the exit status: 0, or 2 if an argument or the network is wrong.
    """
    arguments = _parser().parse_args(argv)
    show_log(logging.WARNING)
    try:
        import uvicorn

        from slowfast_jax.serve.app import Limits, make_app
    except ImportError as error:
        if error.name not in ("fastapi", "prometheus_client", "starlette", "uvicorn"):
            raise
        print(f"error: {WITHOUT_EXTRA} ({error})", file=sys.stderr)
        return 2
    from slowfast_jax.serve.network import find_network

    if reason := why_not_free(arguments.host, arguments.port):
        print(f"error: {reason}", file=sys.stderr)
        return 2
    compilation_cache.keep_compiled()
    try:
        network = find_network(
            arguments.spec, arguments.weights, clips=arguments.clips, crops=arguments.crops,
            backend=arguments.backend, aspect_ratios=arguments.aspect_ratios,
            max_boxes=arguments.max_boxes,
        )
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {as_options(explain(error))}", file=sys.stderr)
        return 2
    sizes = arguments.batch_sizes or _usual_sizes(network)
    if network.batch and arguments.batch_sizes not in (None, [network.batch]):
        print(f"error: --batch-sizes: {arguments.spec} was exported for batches of "
              f"{network.batch} only", file=sys.stderr)
        return 2
    limits = Limits(
        arguments.max_mb, arguments.max_video_seconds, arguments.timeout, arguments.queue
    )
    app = make_app(network, sizes, limits, os.environ.get(TOKEN))
    address = web_address(arguments.host, arguments.port)
    print(
        f"{network.name} on {address}: compiling for batches of {', '.join(map(str, sizes))} "
        "clips; /readyz says when that is done", file=sys.stderr,
    )
    uvicorn.run(
        app, host=arguments.host, port=arguments.port, log_level="warning",
        timeout_graceful_shutdown=int(arguments.timeout) + 1,
    )
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m slowfast_jax.serve",
        description="Serves a network over HTTP: POST /predict with the bytes of a video, GET "
        f"/healthz, /readyz, /metrics and /docs. If the environment variable {TOKEN} is set, "
        "clients must send it as a bearer token.",
    )
    parser.add_argument(
        "spec", metavar="SPEC",
        help="file of slowfast_jax.export, zoo name, recipe, or folder of a run or checkpoint",
    )
    parser.add_argument(
        "--weights", help="checkpoint file or folder, or published; required for a zoo name or "
        "recipe",
    )
    parser.add_argument(
        "--clips", type=whole_number, metavar="N",
        help="clips of each video, evenly spaced in time (default: as in the test protocol)",
    )
    parser.add_argument(
        "--crops", type=int, choices=(1, 2, 3),
        help="crops of each clip (default: as in the test protocol)",
    )
    parser.add_argument(
        "--backend", choices=BACKENDS,
        help="what runs the network; auto: on a CPU, OpenVINO if it is installed (default: jax)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--port", type=port, default=8000, metavar="N", help="port (default: %(default)s)"
    )
    parser.add_argument(
        "--batch-sizes", type=_sizes, metavar="LIST",
        help="clips per batch, joined by commas; each is compiled at the start (default: on a CPU "
        "1 and the number of cores; otherwise 1,4,10, or 1,4 for networks that classify boxes)",
    )
    parser.add_argument(
        "--max-boxes", type=whole_number, metavar="N",
        help="boxes of a keyframe, for networks that classify boxes; fewer ones are padded "
        "(default: 16)",
    )
    parser.add_argument(
        "--aspect-ratios", type=_ratios, metavar="LIST",
        help="of frames, for networks that classify boxes; the network is compiled for each, and "
        "frames are stretched to the closest by at most 10 %% (default: 16:9,4:3)",
    )
    parser.add_argument(
        "--queue", type=whole_number, default=32, metavar="N",
        help="requests accepted at the same time; further ones get status 503 (default: 32)",
    )
    parser.add_argument(
        "--max-mb", type=positive, default=64.0, metavar="MB",
        help="largest body of a request in megabytes (default: 64)",
    )
    parser.add_argument(
        "--max-video-seconds", type=positive, default=600.0, metavar="SECONDS",
        help="longest video (default: 600)",
    )
    parser.add_argument(
        "--timeout", type=positive, default=60.0, metavar="SECONDS",
        help="time for a request, from its first byte to the answer (default: 60)",
    )
    return parser


def _usual_sizes(network: "Served") -> list[int]:
    import jax

    if network.batch:
        return [network.batch]
    if jax.default_backend() == "cpu":  # a clip for each core is fastest there
        return sorted({1, available_cores()})
    return [1, 4] if network.max_boxes else [1, 4, 10]


def _sizes(text: str) -> list[int]:
    return sorted({whole_number(part) for part in text.split(",")})


def _ratios(text: str) -> list[tuple[int, int]]:
    ratios = []
    for part in text.split(","):
        width, found, height = part.partition(":")
        if not found:
            raise argparse.ArgumentTypeError(f"{part!r}, expected WIDTH:HEIGHT such as 16:9")
        ratios.append((whole_number(width), whole_number(height)))
    return ratios


if __name__ == "__main__":
    sys.exit(cli())
