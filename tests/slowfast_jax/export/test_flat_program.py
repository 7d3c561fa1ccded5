import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.export.flat_program import Symbol, flatten
from slowfast_jax.ops.backend import GRAPH_BACKEND, as_one_operation, written_for
from slowfast_jax.ops.transformer.layer_norm import layer_norm


def test_calls_are_inlined_and_constants_are_computed():
    def function(weights, x):
        unused = jnp.sin(x)
        table = jax.nn.softplus(weights)[::2] * 2  # from constants alone
        return jax.checkpoint(jax.nn.relu)(jax.jit(lambda y: y * table)(x)), unused

    weights, x = np.linspace(-1, 1, 6, dtype=np.float32), np.zeros(3, np.float32)
    traced = jax.make_jaxpr(lambda *arguments: function(*arguments)[0])(weights, x)
    program = flatten(traced, [weights], set())
    assert [operation.kind for operation in program.operations] == ["mul", "max"]
    (first, second), multiplication = program.operations[0].inputs, program.operations[0]
    assert first is program.inputs[0] and isinstance(first, Symbol)
    np.testing.assert_allclose(second, function(weights, np.ones(3))[0], 1e-6)
    assert program.only_user(multiplication.output) is program.operations[1]
    assert program.only_user(program.outputs[0]) is None


def test_named_operations_stay_whole():
    def function(x):
        y = layer_norm(x, jnp.ones(4), jnp.zeros(4), 1e-3)
        return as_one_operation("double", lambda z: z * 2, y)

    with written_for(GRAPH_BACKEND):
        traced = jax.make_jaxpr(function)(jnp.zeros((2, 4)))
    norm, double = flatten(traced, [], {"layer_norm"}).operations
    assert norm.kind == "layer_norm" and norm.params == {"epsilon": 1e-3}
    assert double.kind == "mul"
