"""How the feature maps of a network lie in memory.

Networks hand a `MapLayout` to the operations on their maps and do not look inside.
"""

from dataclasses import dataclass

import jax
from jax.experimental.layout import Layout, with_layout_constraint

from slowfast_jax.ops.backend import backend

BROAD = 64  # channels; half the lanes of a TPU


@dataclass(frozen=True)
class MapLayout:
    """Layout of the feature maps of a network, or of one of its pathways.

    Attributes:
      frames: consecutive frames that lie side by side in the channels: maps are
        `(N, T / frames, H, W, frames * C)` instead of `(N, T, H, W, C)`; see `ops.packing`.
      depthwise: the maps lie between depthwise convolutions, for which the compiler should choose
        the layout itself; 1 x 1 x 1 convolutions are matmuls there on every backend.
    """

    frames: int = 1
    depthwise: bool = False

    def channels(self, x: jax.Array) -> int:
        """Channels of one frame of the map."""
        return x.shape[-1] // self.frames


PLAIN = MapLayout()
BETWEEN_DEPTHWISE = MapLayout(depthwise=True)


def in_layout(x: jax.Array, layout: MapLayout = PLAIN) -> jax.Array:
    """`x (N, T, H, W, C)`, stored as convolutions read and write it.

    On a TPU that is channels along the lanes, then frames and clips, if there are many channels.
    Without the constraint the compiler sometimes picks another layout between convolutions and
    copies every map there and back. On other backends `x` is returned as it is.
    """
    if layout.depthwise or backend() != "tpu" or x.shape[-1] < BROAD:
        return x
    return with_layout_constraint(x, Layout(major_to_minor=(2, 3, 0, 1, 4)))
