"""Parts of a network that compute in another dtype than the rest, as a head in float32."""

import difflib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

DTYPES = ("float32", "bfloat16", "float16")


def dtype_table(dtypes: Sequence[str], parts: Sequence[str]) -> dict[str, jnp.dtype]:
    """{part: dtype} of a network's `dtypes`, as ("res5:float32", "head:float32")."""
    table = {}
    for entry in dtypes:
        part, _, dtype = entry.partition(":")
        for what, found, known in (("part", part, parts), ("dtype", dtype, DTYPES)):
            if found not in known:
                close = difflib.get_close_matches(found, known, n=1, cutoff=0.4)
                raise ValueError(
                    f"dtypes has {entry!r}, expected PART:DTYPE as {parts[-1]}:float32: there is "
                    f"no {what} {found!r}{close and f'; did you mean {close[0]}?' or ''} "
                    f"({', '.join(known)})"
                )
        table[part] = jnp.dtype(dtype)
    return table


def in_dtypes(call: Callable) -> Callable:
    """Of a network's `__call__`: each of its parts computes in the dtype that `self.dtypes` has for
    it, else in `self.dtype`. What modules get as positional arguments is cast where it enters a
    part; they compute in the dtype of that."""

    @functools.wraps(call)
    def in_their_own(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        table = dtype_table(self.dtypes, self.parts)
        if not table:
            return call(self, *args, **kwargs)

        def cast(method: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
            module = context.module
            if module.parent is self and context.method_name == "__call__":
                args = _cast(args, table.get(module.name, self.dtype))
            return method(*args, **kwargs)

        with nn.intercept_methods(cast):
            return call(self, *args, **kwargs)

    return in_their_own


def _cast(args: tuple, dtype: jnp.dtype) -> tuple:
    return jax.tree.map(lambda x: x.astype(dtype) if isinstance(x, jax.Array) else x, args)
