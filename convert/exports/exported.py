"""What a file for another program holds, and checks that several programs have in common."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Exported(NamedTuple):
    """Tensors for another program.

    Attributes:
      tensors: name -> array in the program's layout.
      changed: what was merged into other parameters, because the program has no place for it; a
        sentence each. If nothing was, reading the file gives back the same arrays.
      settings: the settings with which the program computes the same; a sentence each.
    """

    tensors: dict[str, np.ndarray]
    changed: Sequence[str] = ()
    settings: Sequence[str] = ()


def refuse_unnamed(program: str, unnamed: Sequence[str], total: int, known: str) -> None:
    """ValueError if a program has no names for parameters. `known`: its networks, in words."""
    if unnamed:
        more = ", ..." if len(unnamed) > 5 else ""
        raise ValueError(
            f"{program} has no names for {len(unnamed)} of the {total} tensors of this network: "
            f"{', '.join(unnamed[:5])}{more}. Its networks that are written here are {known}"
        )


def refuse_others(
    program: str, network: Mapping[str, Any], fixed: Mapping[str, Sequence[Any]]
) -> None:
    """ValueError if the program would compute something else, whatever it is set to.

    Args:
      network: the keywords of the network.
      fixed: keyword -> the values with which the program computes the same.
    """
    for keyword, values in fixed.items():
        if keyword in network and network[keyword] not in values:
            expected = " or ".join(map(repr, values))
            raise ValueError(
                f"{keyword} of this network is {network[keyword]!r}, but {program} computes what "
                f"{expected} does here: its results would differ, so it is not exported"
            )
