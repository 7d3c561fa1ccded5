"""What a library user holds: a network, its weights, its labels and its test protocol.

    recognizer = load("kinetics/x3d_xs", weights="x3d_xs.pyth")
    recognizer.predict_video("a.mp4", top_k=5)
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines import labels
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from slowfast_jax.config import FROM_PROTOCOL, ConfigError, build_model, check_values, load_config
from slowfast_jax.inference.input_checks import check_boxes, check_clips
from slowfast_jax.inference.multiview import VideoScores, score_videos
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.metrics.topk import top_k as best
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.weights import (
    initial_variables,
    read_weights,
    stored_config,
    variable_shapes,
)

SAMPLING = (
    "num_frames", "sampling_rate", "target_fps", "test_crop", "clips", "crops", "offset_sampling"
)
# Views that a CPU takes at once: more cost memory and win no time. Divides the usual 30 of a video.
CPU_BATCH = 10


class Recognizer:
    """A network with weights, ready to predict.

    Attributes:
      model: the flax module (batch norm folded into the convolutions unless loaded with
        fold=False).
      variables: its variables, on the device; on all of them where there are several.
      config: the complete config; its protocol is what `predict_video` follows.
      class_names: K names in class order.
    """

    def __init__(
        self, model: nn.Module, variables: Mapping, config: ConfigDict, class_names: Sequence[str]
    ):
        self.model = model
        self.config = config
        self.class_names = list(class_names)
        self.predictor = Predictor(model)
        self.variables = self.predictor.place(variables)

    @property
    def takes_boxes(self) -> bool:
        """Whether the network classifies boxes in clips, rather than whole clips."""
        return self.model.detection

    def batch_size(self, videos: int) -> int:
        """How many views go through the network at once where so many videos are scored.

        config.test.batch_size, but no more than there are views nor than a CPU wants, and then a
        multiple of the number of devices.
        """
        views = videos * self.config.protocol.clips * self.config.protocol.crops
        wanted = max(1, min(self.config.test.batch_size, views))
        if jax.default_backend() == "cpu":
            wanted = min(wanted, CPU_BATCH)
        devices = self.predictor.mesh.size
        return -(-wanted // devices) * devices

    def __call__(self, clips: Any, boxes: Any = None) -> jax.Array:
        """Class probabilities of clips, or of boxes in them. Compiled once for each shape.

        Args:
          clips: (N, T, H, W, 3) RGB, uint8, or float that is normalised already. H and W may be
            larger than in training.
          boxes: (N, B, 4) pixels x1, y1, x2, y2 in the clips, for networks that classify boxes and
            only for them. Boxes that hang over the edge are clipped, with a warning. Where clips
            have different numbers of boxes, repeat one and drop its rows.

        Returns:
          (N, K), or (N, B, K) with boxes.

        Raises:
          ValueError: for clips of another rank, type or number of channels, clips shorter or
            smaller than the network's, boxes where none are taken or none where they are, and
            boxes that are not finite, empty or outside the frame.
        """
        clips = check_clips(clips, self.model)
        name = self.config.model.name
        if self.takes_boxes and boxes is None:
            raise ValueError(f"{name} classifies boxes: pass boxes=(N, B, 4) in pixels")
        if not self.takes_boxes and boxes is not None:
            raise ValueError(f"{name} classifies whole clips: it takes no boxes")
        if boxes is None:
            return self._run(clips)
        boxes = check_boxes(boxes, clips.shape)
        count = boxes.shape[1]
        if count == 0:
            return jnp.zeros((len(clips), 0, len(self.class_names)), jnp.float32)
        # To a power of two, so that a video with people coming and going compiles a few times only.
        padding = (1 << (count - 1).bit_length()) - count
        boxes = np.concatenate([boxes, np.repeat(boxes[:, :1], padding, axis=1)], axis=1)
        return self._run(clips, boxes)[:, :count]

    def predict_video(self, path: str | os.PathLike, top_k: int = 5) -> list[tuple[str, float]]:
        """The best classes of a video file by the config's test protocol: [(name, score)].

        Scores are probabilities: the mean over the views, or their maximum where the protocol's
        ensemble is "max". Raises VideoError where the video cannot be decoded.
        """
        (result,) = self.score_videos([path])
        if result.error:
            raise VideoError(path, result.error)
        values, indices = best(result.scores, top_k)
        return [(self.class_names[i], float(v)) for i, v in zip(indices, values, strict=True)]

    def score_videos(
        self, videos: Sequence[Video], timing: dict[str, float] | None = None
    ) -> Iterator[VideoScores]:
        """Scores of many videos by the config's test protocol, each when it is complete.

        A video is a file, or frames stored as image files (video/image_files.py). One that cannot
        be decoded comes with its error. `timing` gets "waited", the seconds the device waited for
        decoded views.
        """
        if self.takes_boxes:
            raise ValueError(
                f"{self.config.model.name} classifies boxes, and a video file has none: cut clips "
                "and call the recognizer with them and their boxes"
            )
        protocol = self.config.protocol
        sampling = {key: protocol[key] for key in SAMPLING}
        sampling["sampling"] = self.config.data.sampling
        if "jitter" in self.config.data:  # the original's frame size where there is one crop
            sampling["train_jitter_min"] = self.config.data.jitter[0]
        return score_videos(
            self._run, videos, sampling,
            method=protocol.ensemble, batch_size=self.batch_size(len(videos)), timing=timing,
        )

    def _run(self, clips: Any, boxes: Any = None) -> jax.Array:
        return self.predictor(self.variables, clips, boxes)


def load(
    spec: str | os.PathLike | ConfigDict,
    weights: str | os.PathLike | None = None,
    *,
    class_names: str | Sequence[str] | None = None,
    skip: Sequence[str] = (),
    strip: Sequence[str] = (),
    seed: int = 0,
    fold: bool = True,
    **overrides: Any,
) -> Recognizer:
    """A recipe or published model with weights, ready to predict.

    Args:
      spec: "path/to/file.py:variant", a zoo name ("kinetics/x3d_xs"), a complete config, or the
        folder of a run of ours (its last checkpoint) or of a checkpoint, which know all the rest.
      weights: a checkpoint of PySlowFast, PyTorchVideo or Caffe2, or a folder of our own making;
        default config.test.checkpoint. Without either the weights are random, with a warning.
      class_names: a set that ships ("kinetics400"), a file with one name a line, or the names;
        default the config's. The network gets as many classes.
      skip: regular expressions over whole parameter paths that may be missing or of another shape
        in the checkpoint; they keep their random start.
      strip: texts to remove from the names in the checkpoint, as "backbone.", each where it first
        occurs in a name.
      seed: of the random start.
      fold: fold batch norm into the convolutions, which is faster and equal up to rounding.
      **overrides: keywords of the network (num_classes=10, average="logits", dtype="bfloat16").

    Raises:
      ConfigError: for a spec, keyword or class list that does not fit.
      convert.load.CheckpointMismatch: with a table, where the checkpoint is of another network.
    """
    if isinstance(spec, ConfigDict):
        config = spec
    elif os.path.isdir(spec):
        config, stored = stored_config(spec)
        class_names = stored if class_names is None else class_names
    else:
        config = load_config(spec)
    config = config.copy_and_resolve_references()
    names = resolve_classes(config, class_names, overrides)
    with config.unlocked():
        for key, value in overrides.items():
            if key in FROM_PROTOCOL:
                config.protocol[FROM_PROTOCOL[key]] = value
            else:
                config.model[key] = value
        if weights:
            config.test.checkpoint = os.fspath(weights)
    check_values(config)
    model = build_model(config, **overrides)
    if config.test.checkpoint:
        init = initial_variables(model, seed) if skip else None
        variables, stored_names = read_weights(
            config, variable_shapes(model), config.test.checkpoint,
            skip=skip, strip=strip, init=init,
        )
        names = _choose_names(names, stored_names, config)
    else:
        logging.warning(
            "%s: no weights given, so they are random and the predictions mean nothing",
            config.model.name,
        )
        variables = initial_variables(model, seed)
    if fold:
        model, variables = fold_batch_norm(model, variables)
    return Recognizer(model, variables, config, names)


def resolve_classes(
    config: ConfigDict, class_names: str | Sequence[str] | None, overrides: dict[str, Any]
) -> list[str]:
    """Names of the network's classes; sets `overrides["num_classes"]` where given names decide it.

    Where there are no names, or a class count is given without them, they are "class 0", "class 1"
    and so on.
    """
    count = overrides.get("num_classes", config.model.num_classes)
    source = config.class_names
    if class_names is not None:
        is_list = not isinstance(class_names, (str, os.PathLike))
        names = list(class_names) if is_list else labels.class_names(class_names)
        source = f"{len(names)} names" if is_list else os.fspath(class_names)
        count = overrides.setdefault("num_classes", len(names))
    elif source and count == config.model.num_classes:
        names = labels.class_names(source)
    else:
        names = labels.unnamed(count)
    if len(names) != count:
        raise ConfigError(
            f"class_names {source} has {len(names)} names and the network {count} classes: give "
            f"num_classes={len(names)} (config.model.num_classes), or the list that belongs to it"
        )
    return names


def _choose_names(names: list[str], stored: list[str], config: ConfigDict) -> list[str]:
    """The checkpoint's names where the config has none; an error where the two disagree."""
    if not stored or len(stored) != len(names) or names == stored:
        return names
    if names == labels.unnamed(len(names)):
        return stored
    first = next(i for i, (a, b) in enumerate(zip(names, stored, strict=True)) if a != b)
    raise ConfigError(
        f"checkpoint {config.test.checkpoint} was saved with other class names: class {first} is "
        f"{stored[first]!r} there and {names[first]!r} in {config.class_names or 'the given list'}"
    )
