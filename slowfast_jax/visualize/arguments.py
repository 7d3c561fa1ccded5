"""The command line of `python -m slowfast_jax.visualize`."""

import argparse
from collections.abc import Iterator, Sequence

from data_pipelines.command import Parser, called_as, fraction, not_negative, positive
from slowfast_jax.inference.arguments import add_network, named, network_problems
from slowfast_jax.inference.inputs import FRAME_RATE
from slowfast_jax.option_names import whole_number
from slowfast_jax.report.colors import ALPHA, COLORMAPS

OF_FILMS = ("gradcam", "attention")
OF_NETWORKS = (*OF_FILMS, "features", "inputs", "weights")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with status 2 if it is invalid.

    Arguments that do not go together are lines of the attribute `problems` of the result.
    """
    parser = Parser(
        prog=called_as("slowfast_jax.visualize", "slowfast-jax-visualize"),
        description="Shows what a network looks at, computes and gets wrong.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
        return command

    gradcam = add("gradcam", "Which parts of a video speak for a class (Grad-CAM).")
    _add_videos(gradcam)
    gradcam.add_argument(
        "--layer", action="append", default=[], metavar="NAME",
        help="layer whose map is shown, such as res4 or slow_res5/block0; can be repeated "
        "(default: the last of each pathway)",
    )
    gradcam.add_argument(
        "--label", metavar="CLASS",
        help="name of the class to explain, or its index from 0 (default: the predicted class of "
        "each clip or box)",
    )
    gradcam.add_argument(
        "--score", choices=("logits", "probs"), default="logits",
        help="what is differentiated: the logit of the class, or its probability as in PySlowFast, "
        "whose gradient vanishes where the probability is close to 1 (default: logits)",
    )
    _add_overlay(gradcam)

    attention = add("attention", "What a vision transformer attends to.")
    _add_videos(attention)
    attention.add_argument(
        "--layer", default="", metavar="NAME",
        help="attention module, such as block3/attn (default: that of the last block that pools "
        "its queries)",
    )
    attention.add_argument(
        "--head", type=int, metavar="N", help="head, from 0 (default: the mean of all heads)"
    )
    attention.add_argument(
        "--query", type=_point, metavar="X,Y[,T]",
        help="the query: the point whose attention is shown, as fractions of width, height and "
        "length of the clip (default: the class token, or in networks without one the mean of all "
        "points; with --boxes, the mean of the points in the box)",
    )
    _add_overlay(attention)

    features = add("features", "Feature maps of layers and endpoints.")
    _add_videos(features)
    features.add_argument(
        "--layer", action="append", required=True, metavar="NAME",
        help="layer or endpoint, such as res4 or res4/block0/b; or a part of its map (time, "
        'height, width, channel), such as "res4[0, :, :, 5]"; can be repeated',
    )
    features.add_argument(
        "--channels", type=whole_number, default=8, metavar="N",
        help="channels to show, those with the highest mean first (default: 8)",
    )
    _add_at(features)
    _add_colormap(features)

    inputs = add("inputs", "What the network sees of a video: the views of a test, by pathway.")
    _add_videos(inputs)
    inputs.add_argument(
        "--clips", type=whole_number, metavar="N", help="clips per video (default: the config's)"
    )
    inputs.add_argument(
        "--crops", type=int, choices=(1, 2, 3), help="crops per clip (default: the config's)"
    )

    weights = add("weights", "Kernels and other weights of layers.")
    add_network(weights)
    weights.add_argument(
        "--layer", action="append", default=[], metavar="NAME",
        help="array, such as stem/conv_xy/kernel, or a part of it (of kernels: time, height, "
        'width, in, out), such as "stem/conv_xy/kernel[0, :, :, :, :8]"; can be repeated '
        "(default: the first kernel that has a height and width)",
    )
    _add_colormap(weights)

    confusion = add("confusion", "Confusion matrix of a test.")
    _add_test(confusion)
    confusion.add_argument(
        "--parents", metavar="FILE",
        help='JSON file {"parent": ["class", ...]}: draws a matrix of the parents, and one of the '
        "classes of each",
    )
    confusion.add_argument(
        "--top-k", type=whole_number, default=1, metavar="K",
        help="a video counts as predicted to be of each of its K best classes (default: 1)",
    )
    histograms = add("histograms", "What the videos of each class are predicted to be.")
    _add_test(histograms)
    histograms.add_argument(
        "--top-k", type=whole_number, default=10, metavar="K",
        help="number of bars per class, the most frequent predictions first (default: 10)",
    )
    wrong = add("mistakes", "The videos that a test predicted wrongly, the most confident first.")
    _add_test(wrong)
    wrong.add_argument(
        "--most", type=whole_number, default=50, metavar="N", help="videos to show (default: 50)"
    )
    wrong.add_argument(
        "--prefix", default="", metavar="DIR", help="folder of the paths in the test's results"
    )
    bars = add("bars", "Average precision, or accuracy, of each class of one or several tests.")
    bars.add_argument("runs", nargs="+", metavar="RUN", help="folder with results.json")
    curves = add("curves", "Curves of several runs laid over each other.")
    curves.add_argument("runs", nargs="+", metavar="RUN", help="folder with metrics.jsonl")
    compare = add("compare", "What changed from one test to another.")
    compare.add_argument("runs", nargs=2, metavar="RUN", help="folder with results.json")

    arguments = parser.parse_args(argv)
    arguments.problems = list(_problems(arguments))
    return arguments


def _problems(arguments: argparse.Namespace) -> Iterator[str]:
    """Arguments that do not go together, and files that do not exist."""
    if arguments.command in OF_NETWORKS:
        yield from network_problems(arguments)
    if getattr(arguments, "box", None) and not arguments.boxes:
        yield "--box requires --boxes"
    for flag in ("clips", "crops"):
        if getattr(arguments, flag, None) and arguments.boxes:
            yield f"--{flag} does not go with --boxes: a clip is taken around each keyframe"


def _add_videos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEO", type=named,
        help='video file, pattern such as "*.mp4", folder, or folder of pictures (one video)',
    )
    add_network(parser)
    parser.add_argument(
        "--boxes", metavar="TABLE",
        help="CSV file with the boxes of people, for networks that classify boxes; as of "
        "python -m slowfast_jax.predict",
    )
    parser.add_argument(
        "--fps", type=positive, default=FRAME_RATE, metavar="RATE",
        help=f"frame rate of folders of pictures (default: {FRAME_RATE:g})",
    )


def _add_overlay(parser: argparse.ArgumentParser) -> None:
    _add_at(parser)
    parser.add_argument(
        "--box", type=whole_number, metavar="N",
        help="with --boxes: show only the box of this number, from 1, of each keyframe",
    )
    parser.add_argument(
        "--stills", action="store_true", help="write only the contact sheet, no film"
    )
    parser.add_argument(
        "--alpha", type=fraction, default=ALPHA, metavar="A",
        help=f"opacity of the map over the picture, 0 to 1 (default: {ALPHA:g})",
    )
    _add_colormap(parser)


def _add_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at", type=not_negative, metavar="SECONDS",
        help="show only the clip at this second of the video; with --boxes, those of the keyframe "
        "that is nearest to it",
    )


def _add_colormap(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--colormap", choices=tuple(COLORMAPS), default="viridis", help="(default: viridis)"
    )


def _add_test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "test", metavar="RUN",
        help="folder of a test, whose results.json is read; or a file of --save_scores, or of "
        "PySlowFast's TEST.SAVE_RESULTS_PATH",
    )
    parser.add_argument("--config", help="config of the test (default: the one RUN stores)")
    parser.add_argument(
        "--labels", default="",
        help="class names: a set such as kinetics400, or a file with one name per line",
    )
    parser.add_argument(
        "--classes", metavar="FILE|NAMES",
        help="classes to show: a file with one name per line, or names separated by commas",
    )


def _point(text: str) -> tuple[float, float, float]:
    """ "X,Y" or "X,Y,T" as fractions (t, y, x)."""
    try:
        x, y, *rest = (fraction(part) for part in text.split(","))
        (t,) = rest or (0.5,)
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"{text!r}; expected X,Y or X,Y,T, numbers from 0 to 1"
        ) from None
    return t, y, x
