"""A network with its weights, class names and test protocol, as `load` returns it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.image_files import Pictures
from slowfast_jax.backends import choice
from slowfast_jax.detectors.detections import Detector
from slowfast_jax.display.results import Predictions, Timeline
from slowfast_jax.inference.description import describe
from slowfast_jax.inference.features import DEFAULT, Endpoints, Features, Options, iterate_features
from slowfast_jax.inference.input_checks import check_boxes, check_clips, padded
from slowfast_jax.inference.multiview import VideoScores, score_videos, view_options
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.inference.timeline import WindowScores, score_windows, window_options
from slowfast_jax.metrics.topk import check_count
from slowfast_jax.metrics.topk import top_k as best
from slowfast_jax.recognizer.persons import Persons, detect_persons
from slowfast_jax.recognizer.preprocessing import clips_around, protocol_views
from slowfast_jax.weights.sharing import push_to_hub

# Largest batch of views on a CPU; larger ones take more memory and are no faster. It divides 30,
# the usual number of views of a video.
CPU_BATCH = 10


class Recognizer:
    """A network with weights, ready to predict.

    Attributes:
      model: the Flax module, with batch norm folded into the convolutions unless it was loaded
        with fold=False.
      variables: the module's variables, replicated on all local devices.
      config: the complete config; `predict_video` follows its test protocol.
      class_names: names of the K classes, by class index.
      endpoints: the network's endpoints, which `clip_features` reads.
      read_again: returns the variables as they were read, before folding; None if not from `load`.
      runtime: what runs the network instead of JAX, with its version and dtype; "" if it is JAX.
    """

    def __init__(
        self, model: nn.Module, variables: Mapping, config: ConfigDict,
        class_names: Sequence[str], backend: str = choice.JAX,
    ):
        self.model = model
        self.config = config
        self.class_names = list(class_names)
        self.runtime = choice.describe_backend(backend, model)
        make = choice.predictor_maker(backend, model)
        self.predictor = make()
        self.variables = self.predictor.place(variables)
        self.endpoints = Endpoints(
            model, config.protocol.num_frames, config.protocol.test_crop, make
        )
        self.read_again: partial | None = None

    @property
    def takes_boxes(self) -> bool:
        """Whether the network classifies boxes within clips rather than whole clips."""
        return self.model.detection

    def batch_size(self, videos: int) -> int:
        """Number of views per batch when `videos` videos are scored.

        This is config.test.batch_size, limited to the total number of views (and on a CPU to
        CPU_BATCH), rounded up to a multiple of the number of devices.
        """
        views = videos * self.config.protocol.clips * self.config.protocol.crops
        wanted = max(1, min(self.config.test.batch_size, views))
        if jax.default_backend() == "cpu":
            wanted = min(wanted, CPU_BATCH)
        devices = self.predictor.devices
        return -(-wanted // devices) * devices

    def __call__(self, clips: Any, boxes: Any = None) -> jax.Array:
        """Class probabilities of clips, or of boxes within them; compiled once for each shape, with
        a log line of level INFO.

        Args:
          clips: (N, T, H, W, 3) RGB, either uint8 pixels 0..255, or floats that are normalized
            already, (pixels / 255 - mean) / std with the mean and std of config.protocol. Floats
            that look like pixels are refused, and those that look like pixels / 255 cause a
            warning. T, H and W may be larger than in training, as in the original: the scores are
            averaged over the positions of the head's pooling window. SlowFast takes only its own T.
          boxes: (N, B, 4) x1, y1, x2, y2 in pixels of the clips; required by networks that classify
            boxes and refused by the others. Boxes that extend beyond the frame are clipped to it,
            with a warning. If clips have different numbers of boxes, pad the shorter ones by
            repeating a box, and ignore its rows in the result.

        Returns:
          (N, K) probabilities, or (N, B, K) with boxes.

        Raises:
          ValueError: clips of the wrong rank, dtype or number of channels, or shorter or smaller
            than the network needs; boxes passed to a network that takes none, or missing; boxes
            that are not finite, empty, or outside the frame.
        """
        return self._checked_run(self.predictor, clips, boxes)

    def clip_features(
        self, clips: Any, boxes: Any = None, endpoint: str = DEFAULT, whole: bool = False
    ) -> jax.Array:
        """An endpoint of the network: features of clips, or of boxes within them.

        Args:
          clips, boxes: as for calls of the recognizer.
          endpoint: its name, such as "res5". The default is the input of the classifier.
          whole: keep the endpoint's positions in time and space instead of averaging over them.

        Returns:
          float32 (N, C), or (N, B, C) for endpoints of boxes; with `whole`, (N, ..., C).

        Raises:
          ConfigError: there is no such endpoint; the message lists all.
          ValueError: as for calls of the recognizer.
        """
        per_box = self.endpoints.check(endpoint)
        return self._checked_run(self.endpoints.predictor(endpoint, whole), clips, boxes, per_box)

    def extract_features(
        self, video: Video, endpoint: str = DEFAULT, *, window: float | None = None,
        stride: float | None = None, whole: bool = False,
    ) -> Features:
        """Features of a video of any length: an endpoint of the network for windows along it.

        Windows are those of `score_windows`; see `Options` and `Features` in
        slowfast_jax/inference/features.py for arguments and result.

        Raises:
          VideoError: the video cannot be decoded.
          ConfigError: there is no such endpoint.
          ValueError: the network classifies boxes, for which there is `clip_features`; or window or
            stride is invalid.
        """
        options = Options(endpoint, window, stride, whole)
        (found,) = iterate_features(self, [video], options)
        if found.error:
            raise found.error
        return found.features

    def preprocess(self, video: Video, seconds: Sequence[float] = ()) -> np.ndarray:
        """The clips that the network sees of a video, as the recognizer can be called with them.

        Args:
          video: as for `score_videos`, but only one.
          seconds: for networks that classify boxes: the moments around which clips are taken.

        Returns:
          uint8 (N, T, S, S, 3) RGB: the views of the test protocol, view `clip * crops + crop`
          being that clip and crop; with `seconds`, (len(seconds), T, H, W, 3), whole frames whose
          short side is config.protocol.test_crop.

        Raises:
          VideoError: the video cannot be decoded, or ends before a moment.
          ValueError: seconds are missing, or passed to a network that classifies whole videos.
        """
        name = self.config.name
        if self.takes_boxes:
            if not len(seconds):
                raise ValueError(
                    f"{name} classifies boxes: pass seconds=, the moments around which clips are "
                    "taken"
                )
            return clips_around(self.config, video, seconds)
        if len(seconds):
            raise ValueError(
                f"{name} classifies whole videos: its test protocol chooses the clips, without "
                "seconds="
            )
        return protocol_views(self.config, video)

    def predict_video(self, path: str | os.PathLike, top_k: int = 5) -> Predictions:
        """The `top_k` best classes of a video file, or of a folder of frames, 30 per second, under
        the config's test protocol.

        Returns:
          [(class name, score)], best first, a list that shows itself in Jupyter. Scores are
          probabilities: the mean over the views, or the maximum if the protocol's ensemble is
          "max".

        Raises:
          VideoError: the video cannot be decoded.
          ValueError: the path is not that of a single file.
        """
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(
                f"predict_video takes the path of one video file, not a {type(path).__name__}; for "
                "many videos call it for each path, or score_videos with a list of paths"
            )
        check_count(top_k)
        (result,) = self.score_videos([path])
        if result.error:
            raise VideoError(path, result.error)
        values, indices = best(result.scores, top_k)
        return Predictions(
            (self.class_names[i], float(v)) for i, v in zip(indices, values, strict=True)
        )

    def score_videos(
        self, videos: Video | Sequence[Video], timing: dict[str, float] | None = None
    ) -> Iterator[VideoScores]:
        """Scores many videos under the config's test protocol; yields each video when complete.

        Args:
          videos: files, folders of frames (30 per second), or frames of another rate
            (data_pipelines/video/image_files.py); one of these, or a list.
          timing: receives "waited", the seconds that the device waited for decoded views.

        Yields:
          One `VideoScores` per video; an unreadable video has an error in place of scores.
        """
        self.refuse_boxes()
        if isinstance(videos, (str, os.PathLike, Pictures)):
            videos = [videos]
        return score_videos(
            self._run, videos, view_options(self.config), method=self.config.protocol.ensemble,
            batch_size=self.batch_size(len(videos)), timing=timing,
        )

    def score_windows(
        self, video: Video, window: float | None = None, stride: float | None = None
    ) -> Iterator[WindowScores]:
        """Scores a long video over time: windows of `window` seconds, one every `stride` seconds.

        A window has the mean scores of the clips that follow each other within it, each the center
        crop of its frames. It is at least as long as a clip of the network.

        Args:
          video: as for `score_videos`, but only one.
          window: seconds. Default: those of a clip.
          stride: seconds from the start of one window to that of the next. Default: `window`.

        Yields:
          `WindowScores`(start, end, scores) in order of time, as soon as each is complete.

        Raises:
          VideoError: the video cannot be decoded; the windows before that are yielded.
          ValueError: a window or stride that is not positive, or a stride of less than a frame.
        """
        self.refuse_boxes()
        options = window_options(self.config, window, stride)
        return score_windows(self._run, video, batch_size=self.batch_size(CPU_BATCH), **options)

    def predict_windows(
        self, video: Video, window: float | None = None, stride: float | None = None
    ) -> Timeline:
        """The windows that `score_windows` yields, as a list that shows itself in Jupyter.

        Args:
          video, window, stride: as for `score_windows`.
        """
        return Timeline(self.score_windows(video, window, stride), self.class_names)

    def detect_video(
        self, video: Video, detector: str | Detector | None = None, *,
        boxes: str | os.PathLike | None = None, stride: float | None = None,
    ) -> Persons:
        """What each person of a video does over time, for networks that classify boxes.

        Args:
          video: as for `score_videos`, but only one.
          detector: what finds people, who are then tracked: a Detector, or what `load_detector`
            (slowfast_jax/detectors/load.py) takes: an .onnx file, a name such as "yolox_tiny", or
            "frame" for the whole picture.
          boxes: in place of a detector, a table of boxes (data_pipelines/sources/box_tables.py), a
            table of AVA, or a pickle of MMAction2. It names the video by the end of its path.
          stride: minimum number of seconds between two moments at which actions are recognized.
            A detector looks every 0.25 seconds; a table has moments of its own. Default: 0.5.

        Returns:
          The people, each with times, boxes and scores; a list that shows itself in Jupyter.

        Raises:
          VideoError: the video cannot be decoded to its end.
          ValueError: the network classifies whole videos, or neither or both of detector and boxes
            are passed, or the table is invalid.
          DetectorError: the detector cannot be loaded.
        """
        if not self.takes_boxes:
            raise ValueError(
                f"{self.config.name} classifies whole videos: predict_video and predict_windows "
                "are for it, and detect_video is for networks that classify boxes"
            )
        return detect_persons(self, video, detector, boxes, stride)

    def __repr__(self) -> str:
        return describe(self)

    def push_to_hub(self, repository: str, *, private: bool | None = None) -> str:
        """Uploads the network to the Hugging Face hub with a model card (weights/sharing.py).

        Folded batch norms are read again from the weights' file. Returns "hf://ORG/NAME@COMMIT".
        """
        return push_to_hub(self, repository, private=private)

    def refuse_boxes(self) -> None:
        """ValueError if the network classifies boxes, which a video file does not have."""
        if self.takes_boxes:
            raise ValueError(
                f"{self.config.name} classifies boxes, and a video file has none: detect_video "
                "finds people in it, or call the recognizer with clips and their boxes"
            )

    def _run(self, clips: Any, boxes: Any = None) -> jax.Array:
        return self.predictor(self.variables, clips, boxes)

    def _checked_run(
        self, predictor: Predictor, clips: Any, boxes: Any, per_box: bool = True
    ) -> jax.Array:
        """Runs a predictor on clips and boxes that users pass. per_box: its output is per box."""
        clips = check_clips(clips, self.model)
        name = self.config.name
        if self.takes_boxes and boxes is None:
            raise ValueError(f"{name} classifies boxes: pass boxes=(N, B, 4) in pixels")
        if not self.takes_boxes and boxes is not None:
            raise ValueError(f"{name} classifies whole clips: it takes no boxes")
        if boxes is None:
            return predictor(self.variables, clips)
        boxes = check_boxes(boxes, clips.shape)
        result = predictor(self.variables, clips, padded(boxes, clips.shape))
        return result[:, :boxes.shape[1]] if per_box else result
