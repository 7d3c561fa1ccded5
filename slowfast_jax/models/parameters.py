"""Parameters of layers, without Flax's check that traces every initializer at every call."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import ScopeParamShapeError

_only_shapes: ContextVar[bool] = ContextVar("only_shapes", default=False)


class Layer(nn.Module):
    """A module whose parameters are arrays of given shapes.

    Flax checks the shape of a parameter by tracing its initializer, which takes longer than tracing
    the rest of a network. Here, shapes are compared.
    """

    @nn.nowrap
    def param(self, name: str, init: Callable[..., jax.Array], shape: Sequence[int]) -> jax.Array:
        """The parameter `name`. If it does not exist yet, it is created as `init(key, shape)`.

        Raises ScopeParamShapeError if it has another shape.
        """
        shape = tuple(shape)
        if not self.has_variable("params", name):
            if not _only_shapes.get():
                return super().param(name, init, shape)
            self.put_variable("params", name, jnp.zeros(shape))
        value = self.get_variable("params", name)
        if value.shape != shape:
            raise ScopeParamShapeError(name, self.scope.path_text, value.shape, shape)
        return value


@contextmanager
def only_shapes() -> Iterator[None]:
    """Context in which the parameters of layers are initialized with zeros."""
    token = _only_shapes.set(True)
    try:
        yield
    finally:
        _only_shapes.reset(token)
