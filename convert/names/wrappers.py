"""Parts such as "module." that wrappers of modules add to the names of parameters."""

import re
from collections import Counter
from collections.abc import Iterable

# Part of a name -> what adds it.
PARTS = {
    "module": "DataParallel or DistributedDataParallel",
    "model": "a module around the network, such as PyTorch Lightning's or a hub's",
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FullyShardedDataParallel",
    "_checkpoint_wrapped_module": "activation checkpointing",
}
# Those that no module of a network is called, so that they are removed anywhere in a name: they
# stand in the middle if only some modules were wrapped.
ANYWHERE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
START = re.compile(rf"^(?:(?:{'|'.join(PARTS)})\.)+")
INSIDE = re.compile(rf"(?<=\.)(?:(?:{'|'.join(ANYWHERE)})\.)+")


def bare(name: str) -> str:
    """The name without the parts of wrappers."""
    return INSIDE.sub("", START.sub("", name))


def describe_wrappers(names: Iterable[str]) -> list[str]:
    """A sentence for each part of PARTS that `bare` removes from these names."""
    names, found = list(names), Counter()
    for name in names:
        removed = "".join([*map(str, START.findall(name)), *(m[0] for m in INSIDE.finditer(name))])
        found.update(set(removed.split(".")) & PARTS.keys())
    return [
        f"{'all' if found[part] == len(names) else found[part]} names have {part!r}, which "
        f"{added_by} adds; it is removed" for part, added_by in PARTS.items() if found[part]
    ]
