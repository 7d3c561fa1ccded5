"""Features: an endpoint of the network, for windows of videos or for boxes in clips.

    for found in iterate_features(recognizer, ["a.mp4", "b.mp4"], Options("res5", stride=1.0)):
        if found.features: save(found.index, found.features)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_pipelines.video import Video
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError, closest
from slowfast_jax.display.results import features_html
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.inference.timeline import score_timelines, window_options
from slowfast_jax.models.base import VideoNetwork

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer

DEFAULT = "features"  # the endpoint before the classifier
LEAST = 10  # a single long video fills the batches of this many


class Options(NamedTuple):
    """What to extract, and where.

    Attributes:
      endpoint: name of an endpoint of the network.
      window: seconds of video that each row describes; at least, and by default, those of a clip.
      stride: seconds from the start of one window to that of the next. Default: the window's.
      whole: keep the positions of the endpoint in time and space instead of averaging over them.
    """

    endpoint: str = DEFAULT
    window: float | None = None
    stride: float | None = None
    whole: bool = False


class Features(NamedTuple):
    """Features of a video.

    Attributes:
      features: float32 (W, C), or (W, ..., C) with the endpoint's positions; one row per window.
      start, end: float64 (W,), the seconds of the video that a window spans.
      fps: frame rate of the video.
      endpoint: name of the endpoint.
    """

    features: np.ndarray
    start: np.ndarray
    end: np.ndarray
    fps: float
    endpoint: str

    def _repr_html_(self) -> str:
        return features_html(*self)


class VideoFeatures(NamedTuple):
    """The result for one video: its position in the list, and its features, or why it failed."""

    index: int
    features: Features | None
    error: Exception | None = None


class Endpoints:
    """The endpoints of a network: named arrays (N, ..., C), or (N, B, ..., C) that describe boxes.

    Args:
      model: the network.
      frames, crop: frames and side in pixels of a clip that it takes.
      make_predictor: makes what runs the network, from the function of its endpoints that is
        wanted. By default, it is `Predictor`.
    """

    def __init__(
        self, model: VideoNetwork, frames: int, crop: int,
        make_predictor: Callable[..., Predictor] | None = None,
    ):
        self._model, self._frames, self._crop = model, frames, crop
        self._make_predictor = make_predictor or partial(Predictor, model)
        self._predictors: dict[tuple[str, bool], Predictor] = {}  # by endpoint and `whole`

    @cached_property
    def per_box(self) -> dict[str, bool]:
        """{name of an endpoint: whether it describes boxes}, found without computing any."""
        one = {
            name: out for name, out in self._shapes(1).items() if len(getattr(out, "shape", ())) > 1
        }
        if not self._model.detection:
            return dict.fromkeys(one, False)
        two = self._shapes(2)
        return {name: out.shape != two[name].shape for name, out in one.items()}

    def _shapes(self, boxes: int) -> dict[str, Any]:
        clip = jnp.zeros((1, self._frames, self._crop, self._crop, 3), jnp.uint8)
        inputs = [clip, jnp.zeros((1, boxes, 4))] if self._model.detection else [clip]
        key = jax.random.key(0)
        (_, endpoints), _ = jax.eval_shape(self._model.init_with_output, key, *inputs)
        return endpoints

    def check(self, name: str, *, boxes: bool = False) -> bool:
        """Whether an endpoint describes boxes.

        Raises ConfigError if there is no such endpoint, or, with `boxes`, if it describes clips.
        """
        usable = [endpoint for endpoint, per_box in self.per_box.items() if per_box or not boxes]
        if name in usable:
            return self.per_box[name]
        if name in self.per_box:
            raise ConfigError(
                f"endpoint {name} describes clips, not boxes; the endpoints of boxes are "
                f"{_listed(usable)}"
            )
        raise ConfigError(
            f"the network has no endpoint {name}{closest(name, usable)} (endpoints: "
            f"{_listed(usable)})"
        )

    def predictor(self, name: str, whole: bool) -> Predictor:
        """Computes an endpoint as float32: its mean over the positions, or with `whole` all of it.
        """
        if (name, whole) not in self._predictors:
            first = 2 if self.check(name) else 1

            def features(endpoints: Mapping[str, jax.Array]) -> jax.Array:
                value = endpoints[name].astype(jnp.float32)
                return value if whole else value.mean(tuple(range(first, value.ndim - 1)))

            self._predictors[name, whole] = self._make_predictor(features)
        return self._predictors[name, whole]


def _listed(names: Sequence[str]) -> str:
    """The endpoints of whole parts of a network, and an example of those within the parts."""
    parts = [name for name in names if "/" not in name]
    inner = [name for name in names if "/" in name]
    more = f" and {len(inner)} within these, such as {inner[0]}" if inner else ""
    return ", ".join(parts) + more


def iterate_features(
    recognizer: "Recognizer", videos: Sequence[Video], options: Options
) -> Iterator[VideoFeatures]:
    """Extracts features of the windows of many videos; yields each video when it is complete.

    A window has the mean features of its clips, which are center crops of the video's frames.

    Raises:
      ConfigError: the network has no such endpoint.
      ValueError: the network classifies boxes, or window or stride is not positive.
    """
    predict = partial(recognizer.clip_features, endpoint=options.endpoint, whole=options.whole)
    recognizer.refuse_boxes()
    planned = window_options(recognizer.config, options.window, options.stride)
    planned |= {"method": "sum"}  # the mean
    batch_size = recognizer.batch_size(max(len(videos), LEAST))
    shape: tuple[int, ...] = ()

    def flat(clips: np.ndarray) -> jax.Array:
        nonlocal shape
        features = predict(clips)
        shape = features.shape[1:]
        return features.reshape(len(clips), -1)

    windows: dict[int, list] = {}
    for event in score_timelines(flat, videos, batch_size=batch_size, **planned):
        distributed.alive()
        if event.window:
            windows.setdefault(event.index, []).append(event.window)
            continue
        found = windows.pop(event.index, [])
        if event.error:
            yield VideoFeatures(event.index, None, event.error)
            continue
        starts, ends, rows = zip(*found, strict=True)
        features = np.stack(rows).reshape(len(rows), *shape)
        yield VideoFeatures(event.index, Features(
            features, np.array(starts), np.array(ends), event.fps, options.endpoint
        ))
