"""What an exported network is, and the values that each field of this description may have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import hexdigits
from typing import Any

from data_pipelines.examples.eval_views import SAMPLINGS
from slowfast_jax.fields import (
    Field,
    Range,
    Section,
    at_least,
    between,
    field_problems,
    one_of,
    shown,
    texts,
)
from slowfast_jax.metrics.ensemble import METHODS

FORMAT = "slowfast_jax program 1"
FRAMES, PIXELS = between(1, 1024), between(1, 8192)


@dataclass(frozen=True)
class Metadata:
    """What an exported network is.

    Attributes:
      name: name of the network or recipe.
      classes: names of the K classes.
      frames, height, width: of a clip, which is uint8 RGB (N, frames, height, width, 3).
      batch: N; None if it may be any number.
      boxes: the program also takes float32 boxes (N, B, 4), x1, y1, x2, y2 in pixels of the clip,
        and returns scores (N, B, K) instead of (N, K).
      box_count: B; None if it may be any number, or there are no boxes.
      dtype: of the computation.
      platforms: where it runs: cpu, cuda, rocm or tpu.
      sampling: keywords of `data_pipelines.examples.eval_views.iterate_views` by which the
        clips of a video are taken for the published protocol.
      ensemble: how the scores of these clips are combined, "sum" (their mean) or "max".
      weights: name and digest of the file that the weights come from.
      versions: of slowfast_jax and jax that wrote it.
      sha256: of the program.
      format: FORMAT.
    """

    name: str
    classes: Sequence[str]
    frames: int
    height: int
    width: int
    batch: int | None
    boxes: bool
    box_count: int | None
    dtype: str
    platforms: Sequence[str]
    sampling: Mapping[str, Any]
    ensemble: str
    weights: str
    versions: Mapping[str, str]
    sha256: str = ""
    format: str = field(default=FORMAT)

    @property
    def clip_size(self) -> tuple[int, int, int]:
        """(frames, height, width) of a clip."""
        return self.frames, self.height, self.width


FIELDS: Section = {
    "name": Field("", ""),
    "classes": Field((), "", Range("a list of names", lambda value: bool(value) and _texts(value))),
    "frames": Field(0, "", FRAMES),
    "height": Field(0, "", PIXELS),
    "width": Field(0, "", PIXELS),
    "batch": Field(int, "", at_least(1)),
    "boxes": Field(False, ""),
    "box_count": Field(int, "", at_least(1)),
    "dtype": Field("", ""),
    "platforms": Field((), "", texts("a list of platforms, as in [\"cpu\"]")),
    "sampling": {
        "num_frames": Field(0, "", FRAMES),
        "sampling_rate": Field(0, "", between(0, 10_000)),
        "target_fps": Field(0.0, "", Range("above 0", lambda value: value > 0)),
        "test_crop": Field(0, "", PIXELS),
        "clips": Field(0, "", between(1, 1000)),
        "crops": Field(0, "", between(1, 3)),
        "offset_sampling": Field(False, ""),
        "sampling": Field("", "", one_of(SAMPLINGS)),
        "train_jitter_min": Field(int, "", PIXELS),
    },
    "ensemble": Field("", "", one_of(METHODS)),
    "weights": Field("", ""),
    "versions": Field(
        object, "", Range(
            "a table of texts",
            lambda value: isinstance(value, dict) and _texts(value.values()),
        )
    ),
    "sha256": Field(
        "", "", Range("64 hexadecimal digits", lambda value: (
            len(value) == 64 and set(value) <= set(hexdigits)
        ))
    ),
}
OPTIONAL = {"train_jitter_min"}  # keywords of the sampling that some networks do without


def problems(found: Mapping[str, Any]) -> list[str]:
    """What is wrong with the fields of a description, a phrase for each; [] if nothing is.

    Args:
      found: a table of JSON.
    """
    names = Metadata.__dataclass_fields__.keys()
    if differ := sorted(names ^ found.keys()):
        return [f"it has missing or unknown fields: {', '.join(differ)}"]
    wrong = field_problems(found, FIELDS, "")
    if wrong:
        return wrong
    sampling = found["sampling"]
    if differ := sorted((FIELDS["sampling"].keys() ^ sampling.keys()) - OPTIONAL):
        return [f"sampling has missing or unknown fields: {', '.join(differ)}"]
    same = {"frames": "num_frames"}
    if not found["boxes"]:  # those with boxes take whole frames
        same |= {"height": "test_crop", "width": "test_crop"}
    return [
        f"{name} is {shown(found[name])}, expected {sampling[key]}, as in sampling.{key}"
        for name, key in same.items() if found[name] != sampling[key]
    ]


def _texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
