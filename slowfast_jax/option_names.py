"""Options of the commands: types of their values, and their names in error messages."""

import argparse
import re

BACKENDS = ("jax", "openvino", "onnxruntime", "auto")  # what runs a network, see backends/
# Rows (keyword in the messages of the library, option of predict and convert).
OPTIONS = (
    (r"\b(strip|skip)=\(([^()]+),\)", r"--\1 \2"),
    (r"\b(strip|skip|entry)=('[^']*'|\"[^\"]*\")", r"--\1 \2"),
    (r"\bskip= with", "--skip with"),
)
# Rows (keyword, field of the config), for messages of a training.
FIELDS = (
    (r'\b(strip|skip)=\("([^()]+)",\)', "--config.train.init_from.\\1=\"('\\2',)\""),
    (r"\bentry=\"([^\"]*)\"", r"--config.train.init_from.entry=\1"),
    (r"\bskip= with", "--config.train.init_from.skip with"),
)
CLASSES = r"(?<![\w.])num_classes=(\d+)"


def as_options(message: str) -> str:
    """A message with the options of predict and convert in place of keywords.

    --num-classes is an option of convert; predict has messages of its own about classes.
    """
    return _replaced(message, (*OPTIONS, (CLASSES, r"--num-classes \1")))


def pattern(text: str) -> str:
    """The type of --skip for argparse: a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a regular expression ({error})"
        ) from None
    return text


def whole_number(text: str) -> int:
    """The type of counts for argparse: 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number from 1 on")
    return int(text)


def as_fields(message: str, *, training: bool) -> str:
    """A message with options of `slowfast_jax.main` in place of keywords.

    Only training has fields for them; for other modes, the weights can be converted before.
    """
    message = re.sub(CLASSES, r"--config.model.num_classes=\1", message)
    if training:
        return _replaced(message, FIELDS)
    replaced = _replaced(message, OPTIONS)
    if replaced == message:
        return message
    first, *rest = replaced.split("\n")
    return "\n".join([
        f"{first} (an option of python -m convert: convert the file with it, and pass the folder "
        "that this writes)", *rest,
    ])


def _replaced(message: str, rows: tuple[tuple[str, str], ...]) -> str:
    for keyword, option in rows:
        message = re.sub(keyword, option, message)
    return message
