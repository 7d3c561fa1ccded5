"""Rules that translate the operations of networks, by the name of the operation."""

from slowfast_jax.export.rules import (
    composites,
    convolutions,
    elementwise,
    products,
    reductions,
    shapes,
)

RULES = (
    composites.RULES | convolutions.RULES | elementwise.RULES | products.RULES | reductions.RULES
    | shapes.RULES
)
