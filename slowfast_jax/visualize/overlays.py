"""Grad-CAM and attention of videos: contact sheets, and films of the whole video."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video import Video
from slowfast_jax.config import ConfigError
from slowfast_jax.recognizer import Recognizer
from slowfast_jax.report.colors import ALPHA, overlay
from slowfast_jax.report.drawing import draw_boxes
from slowfast_jax.report.items import spread
from slowfast_jax.report.sheets import Row, captioned, contact_sheet
from slowfast_jax.visualize.attention import default_layer, make_attention
from slowfast_jax.visualize.clips import Part, between_frames, part_rate, parts_of
from slowfast_jax.visualize.files import enlarged, write_film, write_picture
from slowfast_jax.visualize.gradcam import (
    GradCam,
    make_grad_cam,
    pathway_of,
    shown_frames,
    stretched,
    upsampled,
)

MOST_PARTS = 8  # in a contact sheet, the first ones of a video
MOST_FRAMES = 8  # of each
ORANGE = (255, 140, 0)  # of a box, seen on every color map


class Overlay(NamedTuple):
    """A map to lay over frames of a clip.

    Attributes:
      name: of the layer.
      values: (T', H, W), 0 to 1.
      indices: (T',), the frames of the clip.
      caption: what the map belongs to, such as a class with its score.
    """

    name: str
    values: np.ndarray
    indices: np.ndarray
    caption: str


# A clip (T, H, W, 3), and a box (4,) in its pixels for networks that classify boxes -> overlays.
Explain = Callable[[np.ndarray, np.ndarray | None], Sequence[Overlay]]


def grad_cam_of(
    recognizer: Recognizer, layers: Sequence[str] = (), label: int | None = None,
    score: str = "logits",
) -> Explain:
    """Grad-CAM of single clips; see `gradcam.make_grad_cam`.

    label: the class to explain. Default: the predicted one of each clip or box.
    """
    explain = make_grad_cam(recognizer.model, layers, score)
    return lambda clip, box: grad_cam_overlays(recognizer, explain, clip, label, box)


def grad_cam_overlays(
    recognizer: Recognizer, explain: Callable[..., GradCam], clip: np.ndarray,
    label: int | None = None, box: np.ndarray | None = None,
) -> list[Overlay]:
    """The maps of a clip (T, H, W, 3), or for a box (4,) in it.

    explain: see `gradcam.make_grad_cam`.
    """
    labels = None if label is None else jnp.array([label])
    boxes = None if box is None else box[None]
    found = explain(recognizer.variables, clip[None], labels, boxes)
    chosen = int(found.labels[0])
    caption = f"{recognizer.class_names[chosen]} {float(found.probs[0, chosen]):.2f}"
    pathways = list(recognizer.model.pathways(len(clip)))
    names = sorted(found.maps, key=lambda name: pathways.index(pathway_of(recognizer.model, name)))
    maps = {name: np.asarray(found.maps[name][0]) for name in names}
    return [
        Overlay(
            name, values, shown_frames(recognizer.model, name, len(clip)),
            caption if values.any() else f"{caption} (no evidence for it)",
        ) for name, values in maps.items()
    ]


def attention_of(
    recognizer: Recognizer, layer: str = "", head: int | None = None,
    query: tuple[float, float, float] | None = None,
) -> Explain:
    """Attention maps of single clips; see `attention.make_attention`.

    head: its number. Default: the mean of all heads. Raises ConfigError if there is no such head.
    """
    attend = make_attention(recognizer.model, layer, query)

    def overlays(clip: np.ndarray, box: np.ndarray | None) -> list[Overlay]:
        found = attend(recognizer.variables, clip[None], None if box is None else box[None])
        heads = found.maps.shape[1]
        if head is not None and not 0 <= head < heads:
            raise ConfigError(f"--head is {head}, and the layer has the heads 0 to {heads - 1}")
        weights = found.maps.mean(1) if head is None else found.maps[:, head]
        values = stretched(upsampled(weights, clip.shape[:3], recognizer.model.first_center()))
        which = "mean of all heads" if head is None else f"head {head}"
        name = layer or default_layer(recognizer.model) or "last attention"
        return [Overlay(name, np.asarray(values[0]), np.arange(len(clip)), which)]

    return overlays


def show_overlays(
    recognizer: Recognizer, explain: Explain, video: Video, stem: str | os.PathLike, *,
    at: float | None = None, keyframes: Sequence[Keyframe] = (), box: int | None = None,
    film: bool = True, colormap: str = "viridis", alpha: float = ALPHA,
) -> Iterator[Path]:
    """Writes STEM.jpg, a contact sheet, and STEM.mp4, a film of all parts; yields the paths.

    Args:
      recognizer: the network.
      explain: makes the overlays of a clip.
      video: what to read.
      stem: path of the files without their suffix.
      at, keyframes, box: which parts are shown, see `clips.parts_of`.
      film: whether to write the film.
      colormap, alpha: see `colors.overlay`.

    Raises:
      VideoError: the video cannot be decoded; what was shown of it before is written.
    """
    mix = partial(overlay, colormap=colormap, alpha=alpha)
    parts = parts_of(video, recognizer.config, at, keyframes, box)
    explained = ((part, explain(part.clip, part.box)) for part in parts)
    rows: list[Row] = []

    def noted() -> Iterator[tuple[Part, Sequence[Overlay]]]:
        for number, (part, overlays) in enumerate(explained):
            if number < MOST_PARTS:
                rows.extend(part_rows(part, overlays, mix))
            yield part, overlays

    try:
        if film:
            pairs = noted()
            first = next(pairs)  # before the file is created
            rate = part_rate(recognizer.config, first[0])
            played = (_played(*pair, mix) for pair in itertools.chain([first], pairs))
            yield write_film(f"{stem}.mp4", itertools.chain.from_iterable(played), rate)
        else:
            for _ in itertools.islice(noted(), MOST_PARTS):
                pass
    finally:
        if rows:
            title = f"{os.path.basename(str(video))}, {recognizer.config.name}"
            write_picture(f"{stem}.jpg", contact_sheet(rows, title=title))
    yield Path(f"{stem}.jpg")


def _played(
    part: Part, overlays: Sequence[Overlay], mix: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    """All frames of a part, each next to copies of it under its maps."""
    frames = part.frames
    mixed = [
        mix(frames, between_frames(shown.values, part.places[shown.indices], len(frames)))
        for shown in overlays
    ]
    which = "" if part.box is None else f", {part.title}"
    for number, frame in enumerate(frames):
        second = part.begin + (part.end - part.begin) * number / len(frames)
        panels = [captioned(enlarged(boxed(frame, part)), f"{max(second, 0):.1f} s{which}")]
        panels += [
            captioned(enlarged(boxed(pictures[number], part)), f"{shown.caption}, {shown.name}")
            for shown, pictures in zip(overlays, mixed, strict=True)
        ]
        yield np.concatenate(panels, 1)


def boxed(picture: np.ndarray, part: Part) -> np.ndarray:
    """A picture of a part, with its box drawn into it if it has one."""
    if part.box is None:
        return picture
    return draw_boxes(picture, part.box[None], [""], [ORANGE])


def part_rows(
    part: Part, overlays: Sequence[Overlay],
    mix: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Iterator[Row]:
    """The frames of a part, and a row with each map over its frames."""
    shown = spread(len(part.clip), MOST_FRAMES)
    yield Row(part.title, [boxed(frame, part) for frame in part.clip[shown]])
    for values in overlays:
        some = spread(len(values.indices), MOST_FRAMES)
        mixed = mix(part.clip[values.indices[some]], values.values[some])
        caption = f"{values.caption}, {values.name}"
        yield Row(caption, [boxed(picture, part) for picture in mixed])
