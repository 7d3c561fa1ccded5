"""What the lowerings of `conv3d` share."""

from jax import lax

Triple = tuple[int, int, int]


def conv2d(x, kernel, strides, padding, dilation, groups):
    """Rank-4 convolution of `(N, H, W, C)` with `(kH, kW, C / groups, O)`."""
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def require(condition: bool, lowering: str, what: str) -> None:
    if not condition:
        raise ValueError(f"the lowering {lowering!r} takes {what}")
