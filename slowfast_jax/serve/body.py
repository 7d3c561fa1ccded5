"""The bodies of requests: the bytes of a video file, or JSON with a video or frames, and boxes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from fastapi import HTTPException, Request
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError, model_validator

from slowfast_jax.inference.inputs import FRAME_RATE
from slowfast_jax.serve.videos import BoxesAt, Uploaded, UploadedFrames

JSON = "application/json"
MOST_FRAMES = 10_000
MOST_KEYFRAMES = 32  # the clips of a request are in memory at the same time
MOST_BOXES = 1000  # of a keyframe
# Commas of the largest valid body; base64 has none. Parsing takes memory for each value.
MOST_COMMAS = MOST_FRAMES + MOST_KEYFRAMES * (4 * MOST_BOXES + 4)


class Question(NamedTuple):
    """A request: a video, and for networks that classify boxes its keyframes."""

    video: Uploaded | UploadedFrames
    moments: Sequence[BoxesAt]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Keyframe(_Strict):
    """A moment and the boxes of persons in it."""

    second: float | None = Field(
        None, description="seconds from the first frame; default: the middle of the video"
    )
    boxes: list[tuple[float, float, float, float]] = Field(
        min_length=1, max_length=MOST_BOXES,
        description="x1, y1, x2, y2 in pixels of the video's frames",
    )


class Body(_Strict):
    """A video file or frames, and the boxes of persons in it."""

    video: Base64Bytes | None = Field(None, description="a video file")
    frames: list[Base64Bytes] | None = Field(
        None, min_length=1, max_length=MOST_FRAMES, description="JPEG or PNG files, in order"
    )
    fps: float = Field(FRAME_RATE, gt=0, description="frame rate of frames")
    keyframes: list[Keyframe] = Field(
        [], max_length=MOST_KEYFRAMES, description="moments whose boxes are to be classified"
    )

    @model_validator(mode="after")
    def _one_video(self) -> "Body":
        if (self.video is None) == (self.frames is None):
            raise ValueError("expected either video or frames")
        return self


async def read_body(request: Request, most: int) -> bytes:
    """The body, of which no more than `most` bytes are read.

    Raises:
      HTTPException: it is longer, empty, or a form.
    """
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise HTTPException(415, "send the bytes of the video, as curl --data-binary @a.mp4 does")
    too_long = HTTPException(413, f"the body has more than {most / 1e6:g} MB")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise too_long
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise too_long
    if not content:
        raise HTTPException(400, "the body is empty; expected the bytes of a video file, or JSON")
    return bytes(content)


def parse(content: bytes, content_type: str, *, boxes: bool) -> Question:
    """The question of a body.

    Args:
      content_type: the header of this name.
      boxes: whether the network classifies boxes.

    Raises:
      ValueError: it is not valid JSON of `Body`, or keyframes are missing or not wanted.
    """
    if content_type.split(";")[0].strip().lower() != JSON:
        found = Question(Uploaded(content), ())
    else:
        found = _parse_json(content)
    if boxes and not found.moments:
        raise ValueError(
            f"the network classifies boxes: send {JSON} with keyframes and their boxes, see /docs"
        )
    if found.moments and not boxes:
        raise ValueError("the network classifies whole videos: it takes no keyframes")
    return found


def _parse_json(content: bytes) -> Question:
    if content.count(b",") > MOST_COMMAS:
        raise ValueError("the JSON has too many values")
    try:
        body = Body.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(_first_problem(error.errors(include_url=False)[0])) from None
    if body.video is not None:
        video: Uploaded | UploadedFrames = Uploaded(body.video)
    else:
        video = UploadedFrames(body.frames, body.fps)
    moments = [BoxesAt(one.second, np.float32(one.boxes)) for one in body.keyframes]
    return Question(video, moments)


def _first_problem(problem: dict[str, Any]) -> str:
    place = ""
    for part in problem["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
