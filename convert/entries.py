"""Finds the weights among the entries of a checkpoint, such as {"model": ..., "optimizer": ...}."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from convert import names
from convert.unpickle import CheckpointError, LazyTensor, Opaque, opaque_name

# Usual names of entries with weights, in order of preference.
USUAL = (
    "model_state", "state_dict", "model_state_dict", "model", "net", "network", "module", "weights",
    "params", "parameters", "student", "encoder", "backbone",
)
# Parts of names of entries that hold averages of weights. They are read only if there is no other.
AVERAGES = ("ema", "teacher", "average", "averaged", "avg", "swa")
# What the state_dict() of every optimizer of PyTorch has.
OPTIMIZER = {"state", "param_groups"}
# What the optimizers of torch.optim keep for a parameter. With FullyShardedDataParallel, the states
# have the names of the parameters, so that each looks like an entry with tensors.
OPTIMIZER_STATES = {
    "acc_delta", "ax", "complex", "eta", "exp_avg", "exp_avg_sq", "exp_inf", "grad_avg",
    "max_exp_avg_sq", "momentum_buffer", "mu", "mu_product", "prev", "square_avg", "step",
    "step_size", "sum",
}
# Entries are looked for in entries, as in {"model": {"state_dict": ...}}; in deeper ones only if no
# names of a known program are found.
DEPTH, DEEPEST = 2, 5


def is_tensor(value: Any) -> bool:
    return isinstance(value, LazyTensor | np.ndarray | np.generic)


def is_optimizer(value: Any) -> bool:
    """Whether an entry is the state of an optimizer of PyTorch, or a list of such states.

    The rule is exact: it has the two entries of OPTIMIZER, whatever its name.
    """
    if isinstance(value, list):
        return bool(value) and all(map(is_optimizer, value))
    return isinstance(value, dict) and value.keys() >= OPTIMIZER


def groups_of(content: Mapping, deepest: int) -> dict[str, Mapping]:
    """The mappings with named tensors in the content of a file, by name of the entry.

    The name of the top level is "", that of an entry in an entry "model.state_dict". The states of
    optimizers are left out.
    """
    groups = {}

    def look(node: Any, path: str, depth: int) -> None:
        if is_optimizer(node):
            return
        entries = _entries(node)
        tensors = {n for n, value in entries.items() if isinstance(n, str) and is_tensor(value)}
        if tensors - OPTIMIZER_STATES:
            groups[path] = entries
        for name, value in entries.items() if depth < deepest else ():
            if isinstance(name, str):
                look(value, f"{path}.{name}" if path else name, depth + 1)

    look(content, "", 0)
    return groups


def find_weights(content: Any, wanted: str = "") -> tuple[str, Mapping, dict[str, int]]:
    """Finds the mapping that holds the weights of the network.

    Entries whose tensors have names of a known program are preferred to others. Among them, those
    with a usual name come first, in the order of USUAL, then the top level, then entries with other
    names; averages of weights come last.

    Args:
      content: what was unpickled.
      wanted: the name of the entry; "" to look for it.

    Returns:
      The name of the entry, the entry, and {name: number of tensors} of the other entries with
      weights of a known program.

    Raises:
      CheckpointError: there are no tensors, no entry of the name `wanted`, or several entries that
        could be meant. The message lists them.
    """
    groups = groups_of(content, DEEPEST if wanted else DEPTH)
    known = {path: group for path, group in groups.items() if _is_network(group)}
    if not known:
        deeper = groups_of(content, DEEPEST)
        known = {path: group for path, group in deeper.items() if _is_network(group)}
        groups = deeper if known else groups or deeper
    if not groups:
        raise CheckpointError(_nothing_found(content))
    if wanted:
        if wanted not in groups:
            raise CheckpointError(
                f"it has no entry {wanted!r} with tensors; it has {_listed(groups)}"
            )
        return wanted, groups[wanted], {}
    candidates = known or groups
    first, *others = sorted(candidates, key=_preference)
    if others and _is_unusual(first) and _is_unusual(others[0]) and not _is_average(others[0]):
        raise CheckpointError(
            f"several entries hold tensors: {_listed(candidates)}. Name the one to read, such as "
            f'entry="{first}"'
        )
    also = {path: _count(known[path]) for path in known if path != first}
    return first, groups[first], also


def _entries(node: Any) -> Mapping:
    if isinstance(node, Opaque):
        return node.content
    return node if isinstance(node, dict) else {}


def _count(group: Mapping) -> int:
    return sum(isinstance(name, str) and is_tensor(value) for name, value in group.items())


def _is_network(group: Mapping) -> bool:
    tensors = [name for name, value in group.items() if isinstance(name, str) and is_tensor(value)]
    return names.scheme_of(tensors) != "unknown" or bool(
        names.without_shared_prefix(tensors)[0] or names.prefix_of(tensors)
    )


def _is_average(path: str) -> bool:
    words = path.lower().replace(".", "_").split("_")
    return any(word in AVERAGES for word in words)


def _is_unusual(path: str) -> bool:
    return path != "" and not set(path.split(".")) & set(USUAL)


def _preference(path: str) -> tuple:
    parts = path.split(".")
    ranks = [USUAL.index(part) if part in USUAL else len(USUAL) for part in parts]
    return _is_average(path), _is_unusual(path), path == "", len(parts), ranks


def _listed(groups: Mapping[str, Mapping]) -> str:
    return ", ".join(
        f"{path or 'the top level'} ({_count(group)} tensors)" for path, group in groups.items()
    )


def _nothing_found(content: Any) -> str:
    if opaque_name(content):
        return (
            f"it holds an object of {opaque_name(content)} instead of tensors. Nothing was run. "
            "Save model.state_dict() with the program that wrote it, and convert that file"
        )
    if is_optimizer(content):
        return (
            "it holds the state of an optimizer and no weights. Choose the file with the "
            "state_dict() of the network"
        )
    found = ", ".join(_described(content.items())) or "no entries"
    objects = any(map(opaque_name, content.values()))
    advice = (
        "Nothing was run. If one of the objects is the whole model, save its state_dict() with the "
        "program that wrote it, and convert that file" if objects
        else f"Expected the weights at the top level or in an entry such as {USUAL[0]!r}"
    )
    return f"it holds no named tensors. Found {found}. {advice}"


def _described(items: Iterable[tuple[Any, Any]]) -> Iterable[str]:
    for name, value in items:
        kind = opaque_name(value)
        yield f"{name} (an object of {kind})" if kind else str(name)
