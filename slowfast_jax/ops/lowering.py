"""What the lowerings of `conv3d` share."""

from jax import lax

Triple = tuple[int, int, int]

DIMENSIONS = {4: ("NHWC", "HWIO", "NHWC"), 5: ("NDHWC", "DHWIO", "NDHWC")}


def convolve(x, kernel, strides, padding, dilation, groups):
    """XLA's own convolution of `(N, H, W, C)` with `(kH, kW, C / groups, O)`, or with time, too."""
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=DIMENSIONS[x.ndim],
        feature_group_count=groups,
    )


def require(condition: bool, lowering: str, what: str) -> None:
    if not condition:
        raise ValueError(f"the lowering {lowering!r} takes {what}")
