"""Colors for numbers, and maps of numbers laid over pictures."""

import numpy as np

# Rows of colors at equal distances from 0 to 1. viridis and magma by Nathaniel Smith and Stefan van
# der Walt (CC0), turbo by Anton Mikhailov (Apache-2.0).
COLORMAPS = {
    "viridis": (
        (68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140), (40, 174, 128),
        (94, 201, 98), (173, 220, 48), (253, 231, 37),
    ),
    "magma": (
        (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122), (229, 80, 100),
        (251, 135, 97), (254, 194, 135), (252, 253, 191),
    ),
    "turbo": (
        (48, 18, 59), (70, 104, 224), (40, 187, 236), (49, 242, 153), (162, 252, 60),
        (237, 208, 58), (251, 128, 34), (209, 47, 5), (122, 4, 3),
    ),
    "gray": ((0, 0, 0), (255, 255, 255)),
}
ALPHA = 0.5  # of a heat map over a picture, as in the original


def colored(values: np.ndarray, colormap: str = "viridis") -> np.ndarray:
    """Values 0 to 1 of any shape (...) as colors: uint8 (..., 3). Others are clipped, nan is 0."""
    table = np.array(COLORMAPS[colormap], np.float32)
    places = np.clip(np.nan_to_num(values), 0, 1) * (len(table) - 1)
    channels = [np.interp(places, np.arange(len(table)), column) for column in table.T]
    return np.stack(channels, -1).round().astype(np.uint8)


def overlay(
    pictures: np.ndarray, values: np.ndarray, colormap: str = "viridis", alpha: float = ALPHA
) -> np.ndarray:
    """Colored values (..., H, W), 0 to 1, over pictures uint8 (..., H, W, 3) of the same size."""
    mixed = alpha * colored(values, colormap) + (1 - alpha) * pictures
    return mixed.round().astype(np.uint8)


def spread_out(values: np.ndarray) -> np.ndarray:
    """Values stretched to the range 0 to 1; constant ones become 0.5."""
    low, high = float(np.min(values)), float(np.max(values))
    if not high > low:
        return np.full(values.shape, 0.5, np.float32)
    return (np.asarray(values, np.float32) - low) / (high - low)
