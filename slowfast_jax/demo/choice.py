"""Which of the classes with their scores are shown."""

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Classes that are so frequent in AVA that the original's demo asks for a higher score
# (DEMO.COMMON_CLASS_NAMES in slowfast/config/defaults.py), and the thresholds of both kinds.
COMMON_IN_AVA = (
    "watch (a person)", "talk to (e.g., self, a person, a group)",
    "listen to (a person)", "touch (an object)", "carry/hold (an object)", "walk", "sit",
    "lie/sleep", "bend/bow (at the waist)",
)
THRESHOLD, RARE_THRESHOLD = 0.7, 0.3
LEAST = 0.01  # of networks that give one label; less is shown as 0.00


class Choice(NamedTuple):
    """Rules for the labels that are shown.

    Attributes:
      names: the K class names.
      least: float32 (K,), the scores from which on classes are shown; inf for those never shown.
      most: maximum number of labels.
    """

    names: Sequence[str]
    least: np.ndarray
    most: int

    def of(self, scores: np.ndarray) -> list[tuple[int, float]]:
        """(class, score) of the labels to show for scores (K,), best first."""
        order = np.argsort(-scores, kind="stable")
        shown = order[scores[order] >= self.least[order]][: self.most]
        return [(int(index), float(scores[index])) for index in shown]


def choose(
    names: Sequence[str], *, several: bool, top_k: int = 3, threshold: float | None = None,
    rare_threshold: float | None = None, common: Sequence[str] = (), only: Sequence[str] = (),
) -> Choice:
    """Makes the rules for the labels that are shown.

    Args:
      names: the class names of the network.
      several: a clip or person has any number of classes at the same time, as in AVA. Then the
        default is the original's: a score of THRESHOLD for common classes, and RARE_THRESHOLD for
        the others. Otherwise the best `top_k` classes are shown if they have LEAST.
      top_k: maximum number of labels.
      threshold: minimum score of common classes, and of all classes if there are no common ones.
      rare_threshold: minimum score of the other classes.
      common: names of the common classes. Default: those of AVA that the network has.
      only: names of the classes that may be shown. Default: all.

    Raises:
      ValueError: a name that the network does not have; the message has the closest one.
    """
    problems = [*_unknown(names, common), *_unknown(names, only)]
    if problems:
        raise ValueError("; ".join(problems))
    if threshold is None:
        threshold = THRESHOLD if several else LEAST
    if rare_threshold is None:
        rare_threshold = min(RARE_THRESHOLD, threshold)
    frequent = {*common} or {*COMMON_IN_AVA} & {*names} or {*names}
    least = [threshold if name in frequent else rare_threshold for name in names]
    allowed = {*only} or {*names}
    return Choice(names, np.array([
        score if name in allowed else np.inf for name, score in zip(names, least, strict=True)
    ], np.float32), top_k)


def _unknown(names: Sequence[str], asked: Sequence[str]) -> list[str]:
    problems = []
    for name in dict.fromkeys(asked):
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; perhaps {close[0]!r}" if close else ""
            problems.append(f"there is no class {name!r} among the {len(names)} classes{hint}")
    return problems
