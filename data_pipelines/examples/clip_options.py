"""Options of training clips: frame sampling and augmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_pipelines.examples.eval_views import SAMPLINGS
from data_pipelines.transforms import rand_augment


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which frames of a video make a clip.

    The modes are those of the original's data sets (datasets/kinetics.py, ssv2.py, charades.py) and
    of MMAction2:

    - "kinetics": num_frames frames, evenly spaced over num_frames * sampling_rate frames at
      `target_fps`;
    - "ssv2": one frame from each of num_frames equal segments of the whole video;
    - "charades": every sampling_rate-th frame, whatever the frame rate; where the sample has labels
      for each frame, the clip's are those of the frames from its first to its last one;
    - "mmaction2", "mmaction2_v0": every sampling_rate-th frame, whatever the frame rate; a video
      that is too short starts over. The two differ in validation only, see eval_views.py.

    Attributes:
        num_frames: frames of a clip.
        sampling_rate: step from one frame of the clip to the next, in frames of the video.
        target_fps: frames per second at which the sampling rate counts ("kinetics" only).
        mode: one of eval_views.SAMPLINGS.
        jitter_fps: target_fps is increased by a random amount of at most this, which makes clips
            shorter; 0: no increase.
        max_sampling_rate: if it is above sampling_rate, the rate is drawn uniformly between the
            two, inclusive (the original's multigrid training,
            utils.get_random_sampling_rate); 0: the rate is always sampling_rate.
        num_clips: clips drawn from one video, each with a random start; in the modes of MMAction2
            each has a part of the video.
    """

    num_frames: int
    sampling_rate: int
    target_fps: float
    mode: str = "kinetics"
    jitter_fps: float = 0.0
    max_sampling_rate: int = 0
    num_clips: int = 1

    def __post_init__(self):
        if self.mode not in SAMPLINGS:
            raise ValueError(
                f"the sampling mode is {self.mode!r}; expected one of {', '.join(SAMPLINGS)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Augmentation of the frames of a clip; everything but `crop` is random.

    The steps run in this order: color, policy, crop and flip, lighting, erase.

    Attributes:
        crop: side in pixels of the square that the network sees.
        jitter: smallest and largest short side in pixels to which frames are scaled before the
            crop; see geometry.draw.
        inverse_uniform: draw 1 / short side uniformly, instead of the short side.
        flip: mirror half of the clips.
        jitter_scales_relative: smallest and largest area of the crop as a share of the frame's,
            instead of `jitter`; (): not used.
        jitter_aspect_relative: smallest and largest width / height of that area; (): not used.
        motion_shift: the area moves from the first frame to the last; needs both relative ranges.
        num_samples: how often each clip is augmented (repeated augmentation).
        color: keywords of ssl_color.draw; None: no change of color.
        policy: of RandAugment; None: no RandAugment.
        lighting: standard deviation of the color shift along the principal components of
            ImageNet's colors, see color.draw; 0: no shift.
        erase: keywords of random_erasing.draw; None: nothing is erased.
        mean, std: with which the network normalizes its input, on a scale of 0..1: erased parts are
            filled with normalized noise.
    """

    crop: int
    jitter: tuple[int, int] = (256, 320)
    inverse_uniform: bool = False
    flip: bool = True
    jitter_scales_relative: tuple[float, float] | tuple[()] = ()
    jitter_aspect_relative: tuple[float, float] | tuple[()] = ()
    motion_shift: bool = False
    num_samples: int = 1
    color: Mapping[str, Any] | None = None
    policy: rand_augment.Policy | None = None
    lighting: float = 0.0
    erase: Mapping[str, Any] | None = None
    mean: Sequence[float] = (0.45, 0.45, 0.45)
    std: Sequence[float] = (0.225, 0.225, 0.225)
