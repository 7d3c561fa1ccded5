"""Parts of a network that compute in a dtype of their own, such as a head in float32."""

import difflib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

DTYPES = ("float32", "bfloat16", "float16")


def dtype_table(dtypes: Sequence[str], parts: Sequence[str]) -> dict[str, jnp.dtype]:
    """{part: dtype} of a network's `dtypes`, such as `("res5:float32", "head:float32")`.

    Raises ValueError for a part that is not in `parts`, and for a dtype that is not in `DTYPES`.
    """
    table = {}
    for entry in dtypes:
        part, _, dtype = entry.partition(":")
        for what, found, known in (("part", part, parts), ("dtype", dtype, DTYPES)):
            if found not in known:
                close = difflib.get_close_matches(found, known, n=1, cutoff=0.4)
                raise ValueError(
                    f"dtypes has {entry!r}, expected PART:DTYPE, such as {(*parts, 'PART')[-1]}"
                    f":float32, but {found!r} is not a {what} of this network"
                    f"{close and f'; did you mean {close[0]}?' or ''} ({', '.join(known)})"
                )
        table[part] = jnp.dtype(dtype)
    return table


def input_dtype(network: nn.Module) -> jnp.dtype:
    """Dtype of the normalized clip: float32 if parts have their own, which then cast it."""
    return jnp.float32 if network.dtypes else network.dtype


def in_dtypes(call: Callable) -> Callable:
    """Decorator of a network's `__call__`: its parts compute in the dtypes that `dtypes` names.

    The other parts compute in `dtype`. The positional arguments of a part are cast when it is
    called; a part computes in the dtype of its arguments.
    """

    @functools.wraps(call)
    def with_casts(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
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

    return with_casts


def _cast(args: tuple, dtype: jnp.dtype) -> tuple:
    return jax.tree.map(lambda x: x.astype(dtype) if isinstance(x, jax.Array) else x, args)
