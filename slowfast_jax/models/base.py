"""Base classes of the networks: their common fields, and attributes that declare what they can do.

Code outside `models/` reads these attributes; it does not check a network's class or parse the
names of its parameters.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from slowfast_jax.models.heads import project
from slowfast_jax.models.norm import is_norm_path
from slowfast_jax.models.parameters import Layer

Triple = tuple[int, int, int]

# Layers of the convolutional networks. A lateral connection counts with the stage it reads from.
CONV_LAYERS = {
    "stem": 0, "lateral1": 0, "res2": 1, "lateral2": 1, "res3": 2, "lateral3": 2, "res4": 3,
    "lateral4": 3, "res5": 4, "head": 5,
}


class VideoNetwork(Layer):
    """Base class of the networks.

    A subclass defines `__call__(clip, boxes=None, train=False)`. It takes clips `(N, T, H, W, 3)`,
    either uint8 RGB or float and already normalized, and returns `(logits, endpoints)`: logits
    `(N, K)`, or `(N, B, K)` for `boxes (N, B, 4)` in pixels if the network was made with
    `detection=True`. `endpoints` is a dict of named intermediate arrays; "probs" has the class
    probabilities, in the shape of the logits.

    The defaults of the class attributes suit a network without batch norm. A network overrides
    those that differ.

    Attributes:
      num_classes: number of classes; 0 returns features instead of logits.
      num_frames, crop_size: frames and side in pixels of the clips it is trained on.
      detection: classifies boxes instead of whole clips.
      dropout, activation, average, fc_init_std: of the classifier, see `heads.project`.
      mean, std: of the input's channels, on the 0..1 scale.
      dtype: dtype of the computation; parameters are float32.
      remat: stages or blocks that training recomputes for the gradient instead of storing; see
        `blocks.remat_table`.

    Class attributes:
      norm_groups: it has batch norms whose statistics are per group of examples, and so the fields
        `group_size`, `norm_splits` and `frozen_norm`.
      foldable: `fold.fold_batch_norm` applies; it has the field `folded`.
      stride: pixels of the clip, along height and width, per position of the last feature map.
      parts: names of its top-level modules, which the field `dtypes` of some networks refers to.
      no_decay: regular expressions over whole parameter paths, "head/projection/kernel"; the
        parameters that match have no weight decay, whatever the config says.
      layer_of: maps a parameter's path to the index of its layer, from 0 at the input, for
        learning rates that decay from layer to layer; None if the network defines no layers.
    """

    num_classes: int
    num_frames: int = 8
    crop_size: int = 224
    detection: bool = False
    dropout: float = 0.5
    activation: str = "softmax"
    average: str = "probs"
    fc_init_std: float = 0.01
    mean: Sequence[float] = (0.45, 0.45, 0.45)
    std: Sequence[float] = (0.225, 0.225, 0.225)
    dtype: jnp.dtype = jnp.float32
    remat: Sequence[str] = ()

    norm_groups: ClassVar[bool] = False
    foldable: ClassVar[bool] = False
    stride: ClassVar[int] = 32
    parts: ClassVar[Sequence[str]] = ()
    no_decay: ClassVar[Sequence[str]] = ()
    layer_of: ClassVar[Callable[[str], int] | None] = None

    @staticmethod
    def is_norm(path: str) -> bool:
        """Whether the parameter at `path` belongs to a batch norm, which has its own weight decay.

        As in the original, layer norms do not count; `zero_wd_1d` of the optimizer is for them.
        """
        return False

    def smallest_clip(self) -> tuple[int, int]:
        """The fewest frames and the shortest side in pixels that a clip may have. With boxes, clips
        of any size are accepted."""
        if self.detection:
            return 1, 1
        return self.num_frames, self.stride * (self.crop_size // self.stride - 1) + 1

    def exact_frames(self) -> int | None:
        """The only number of frames that a clip may have; None: any from `smallest_clip` on."""
        return None

    def pathways(self, frames: int) -> dict[str, np.ndarray]:
        """{name of a pathway: indices of the frames that it sees}, of a clip of `frames`."""
        return {"clip": np.arange(frames)}

    def last_maps(self) -> tuple[str, ...]:
        """The layers with the last map of each pathway, by the paths of their modules; () if the
        network names none."""
        return ()

    def classifier(self) -> Callable:
        """`heads.project` with this network's options, to be called in the head's scope."""
        return partial(
            project, num_classes=self.num_classes, dropout=self.dropout,
            activation=self.activation, average=self.average,
            kernel_init=nn.initializers.normal(self.fc_init_std),
        )


class ConvNetwork(VideoNetwork):
    """Base class of the convolutional networks: stages of blocks with batch norm.

    Attributes:
      head_pool: "window": the head averages over windows of the size that the last feature map has
        for a training clip, so that a larger clip has several positions; "global": it averages over
        the whole map, whatever its size.
      roi_resolution, roi_scale, roi_aligned: of ROIAlign, see `ops.roi_align`.
      zero_init_final_bn: the last batch norm of each residual branch starts with scale 0, unless
        `norm_splits` is set, because split norms of the original start with scale 1.
      group_size: number of clips that share batch-norm statistics; None: the whole batch.
      norm_splits: number of groups in the batch of one GPU of the original, see `norm.BatchNorm`;
        None: the original does not split it.
      frozen_norm: batch norms use their running statistics in training as well, and leave them
        unchanged; scale and bias are trained.
      folded: there are no batch norms, because `fold.fold_batch_norm` folded them.
      dtypes: parts that compute in a dtype of their own, such as `("head:float32",)`.
    """

    head_pool: str = "window"
    roi_resolution: int = 7
    roi_scale: float = 1 / 16
    roi_aligned: bool = True
    zero_init_final_bn: bool = True
    group_size: int | None = None
    norm_splits: int | None = None
    frozen_norm: bool = False
    folded: bool = False
    dtypes: Sequence[str] = ()

    norm_groups = True
    foldable = True
    parts = ("stem", "res2", "res3", "res4", "res5", "head")
    is_norm = staticmethod(is_norm_path)

    @property
    def zeroes_final_norms(self) -> bool:
        """Whether the last batch norm of each residual branch starts with scale 0."""
        return self.zero_init_final_bn and self.norm_splits is None

    @staticmethod
    def layer_of(path: str) -> int:
        """Layer of a parameter; the same for both pathways."""
        return CONV_LAYERS[path.split("/")[0].removeprefix("slow_").removeprefix("fast_")]

    def last_maps(self) -> tuple[str, ...]:
        return ("res5",)

    def smallest_clip(self) -> tuple[int, int]:
        """The fewest frames and the shortest side in pixels that fill the head's window."""
        if self.head_pool != "window":
            return 1, 1
        return super().smallest_clip()
