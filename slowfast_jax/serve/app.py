"""The HTTP service: POST /predict, and what operators of services expect beside it."""

import asyncio
import hmac
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from absl import logging
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.requests import ClientDisconnect

from data_pipelines.cores import available_cores
from data_pipelines.video.decoding import VideoError, VideoInfo
from slowfast_jax import __version__
from slowfast_jax.metrics.ensemble import ensemble
from slowfast_jax.metrics.topk import labeled
from slowfast_jax.serve.batcher import Batcher
from slowfast_jax.serve.body import JSON, Body, parse, read_body
from slowfast_jax.serve.network import Served
from slowfast_jax.serve.videos import BoxesAt, TooLong, clips_of, keyframes_of

FILE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
VIDEO = {"seconds": 10.0, "frames": 300, "fps": 30.0}
KEYFRAMES = [{"second": 5.0, "boxes": [[20.0, 10.0, 120.0, 230.0]]}]
# For networks that classify whole videos, and for those that classify boxes.
BODIES = {
    False: FILE | {JSON: {
        "schema": Body.model_json_schema(),
        "example": {"frames": ["base64 of a JPEG file", "of the next frame"], "fps": 30.0},
    }},
    True: {JSON: {
        "schema": Body.model_json_schema(),
        "example": {"video": "base64 of a video file", "keyframes": KEYFRAMES},
    }},
}
ANSWERS = {
    False: {
        "model": "kinetics/x3d_xs", "video": VIDEO,
        "predictions": [{"label": "archery", "index": 5, "score": 0.9994}],
    },
    True: {
        "model": "ava/slowfast_32x2_r50_short", "video": VIDEO,
        "keyframes": [{"second": 5.0, "boxes": [{
            "box": [20.0, 10.0, 120.0, 230.0],
            "predictions": [{"label": "stand", "index": 11, "score": 0.97}],
        }]}],
    },
}
ERRORS = {
    400: "the body is empty, no readable video, or invalid JSON; or a box is invalid",
    401: "the token is missing or wrong",
    413: "the body has too many bytes, or the video too many seconds",
    415: "the body is a form instead of the bytes of a video or JSON",
    503: "too many requests are waiting; try again after the seconds of Retry-After",
    504: "the time limit has passed",
}


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes:
      megabytes: size of a body.
      video_seconds: duration of a video.
      seconds: time from the first byte to the answer.
      requests: requests that are accepted at the same time; further ones get status 503.
    """

    megabytes: float = 64.0
    video_seconds: float = 600.0
    seconds: float = 60.0
    requests: int = 32


class Metrics:
    """What GET /metrics reports, in the format of Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        options: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "slowfast_requests", "Requests for predictions by status", ["status"], **options
        )
        self.seconds = Histogram(
            "slowfast_request_seconds", "Seconds from the first byte to the answer", **options
        )
        self.active = Gauge("slowfast_active_requests", "Accepted, not yet answered", **options)
        self.clips = Counter("slowfast_clips", "Clips that the network classified", **options)
        self.batch = Histogram(
            "slowfast_batch_clips", "Clips per batch, without padding", **options,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )
        self.padding = Counter("slowfast_padding_clips", "Clips added to fill batches", **options)

    def observe_batch(self, clips: int, size: int) -> None:
        self.clips.inc(clips)
        self.batch.observe(clips)
        self.padding.inc(size - clips)

    def usual_seconds(self) -> int:
        """Mean time of a request, rounded up; 1 before the first."""
        found = {sample.name: sample.value for sample in self.seconds.collect()[0].samples}
        count = found["slowfast_request_seconds_count"]
        return math.ceil(found["slowfast_request_seconds_sum"] / count) if count else 1


def make_app(
    network: Served, batch_sizes: list[int], limits: Limits, token: str | None = None
) -> FastAPI:
    """The service as an ASGI application.

    Args:
      network: what it runs.
      batch_sizes: numbers of clips per batch; each is compiled before the first request.
      limits: of the requests.
      token: what clients must send as `Authorization: Bearer TOKEN`; None: anyone may ask.
    """
    metrics, of_boxes = Metrics(), bool(network.max_boxes)
    batcher = Batcher(network.run, batch_sizes, metrics.observe_batch)
    decoders = ThreadPoolExecutor(available_cores(), thread_name_prefix="decode")
    ready, broken = asyncio.Event(), asyncio.Event()
    accepted: set[object] = set()  # a mark for each request that is not answered yet

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def warm_up() -> None:
            try:
                await asyncio.to_thread(batcher.start, network.examples())
            except Exception:
                logging.exception("the network cannot be compiled")
                broken.set()
                return
            ready.set()

        task = asyncio.create_task(warm_up())
        yield
        await asyncio.wait([task])
        await asyncio.to_thread(batcher.close)
        decoders.shutdown()

    app = FastAPI(
        title=f"{network.name} by slowfast_jax", version=__version__, lifespan=lifespan,
        description="Classifies boxes at moments of videos. The body of a request is JSON."
        if of_boxes else
        "Classifies videos. The body of a request is the bytes of a video file, or JSON.",
    )

    def authorize(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, ERRORS[401], {"WWW-Authenticate": "Bearer"})

    @contextmanager
    def admitted() -> Iterator[None]:
        """Counts the request among the accepted ones, unless there are too many."""
        if not ready.is_set():
            raise HTTPException(503, "the network is being compiled", {"Retry-After": "10"})
        if len(accepted) >= limits.requests:
            raise HTTPException(503, ERRORS[503], {"Retry-After": str(metrics.usual_seconds())})
        mark = object()
        accepted.add(mark)
        metrics.active.set(len(accepted))
        try:
            yield
        finally:
            accepted.remove(mark)
            metrics.active.set(len(accepted))

    def decode(
        content: bytes, content_type: str
    ) -> tuple[VideoInfo, tuple[np.ndarray, ...], Sequence[BoxesAt]]:
        """Properties of the video, the inputs of the network, and the keyframes that they are of.

        Raises:
          HTTPException: the body is none of a video, or has invalid boxes.
        """
        # Other requests keep the other cores busy, and a thread for each video takes less time of
        # the processor than several for one.
        threads = "SLICE" if len(accepted) == 1 else "NONE"
        try:
            question = parse(content, content_type, boxes=of_boxes)
            if not of_boxes:
                info, clips = clips_of(
                    question.video, network.sampling, limits.video_seconds, threads
                )
                return info, (clips,), ()
            return keyframes_of(
                *question, network.sampling, network.shapes, network.max_boxes,
                limits.video_seconds, threads,
            )
        except TooLong as error:
            raise HTTPException(413, str(error)) from error
        except (ValueError, VideoError) as error:
            raise HTTPException(400, str(error)) from error

    async def answer(request: Request, top_k: int) -> dict[str, Any]:
        with admitted():
            try:
                async with asyncio.timeout(limits.seconds):
                    content = await read_body(request, int(limits.megabytes * 1e6))
                    info, inputs, moments = await asyncio.get_running_loop().run_in_executor(
                        decoders, decode, content, request.headers.get("content-type", "")
                    )
                    scores = await asyncio.wrap_future(batcher.submit(*inputs))
            except TimeoutError as error:
                raise HTTPException(504, f"no answer within {limits.seconds:g} s") from error
            except ClientDisconnect as error:
                raise HTTPException(400, "the connection ended within the body") from error

        def predictions(row: np.ndarray) -> list[dict[str, Any]]:
            return labeled(row, network.classes, top_k)

        result: dict[str, Any] = {
            "model": network.name,
            "video": {"seconds": info.duration, "frames": info.frames, "fps": info.fps},
        }
        if not moments:
            return result | {"predictions": predictions(ensemble(scores, network.ensemble))}
        return result | {"keyframes": [
            {"second": moment.second, "boxes": [
                {"box": box.tolist(), "predictions": predictions(row)}
                for box, row in zip(moment.boxes, rows[:len(moment.boxes)], strict=True)
            ]}
            for moment, rows in zip(moments, scores, strict=True)
        ]}

    @app.post(
        "/predict", dependencies=[Depends(authorize)],
        openapi_extra={"requestBody": {"required": True, "content": BODIES[of_boxes]}},
        summary=f"The most probable classes of {'boxes' if of_boxes else 'a video'}",
        responses={
            200: {"content": {JSON: {"example": ANSWERS[of_boxes]}}},
            **{code: {"description": text} for code, text in ERRORS.items()},
        },
    )
    async def predict(
        request: Request, top_k: int = Query(5, ge=1, description="number of classes"),
    ) -> dict[str, Any]:
        start, status = time.perf_counter(), 500
        try:
            if unknown := request.query_params.keys() - {"top_k"}:
                raise HTTPException(
                    400, f"unknown parameter {min(unknown)}; the only one is top_k"
                )
            result = await answer(request, top_k)
            status = 200
            return result
        except HTTPException as error:
            status = error.status_code
            raise
        finally:
            metrics.requests.labels(status).inc()
            metrics.seconds.observe(time.perf_counter() - start)

    @app.get("/healthz", summary="Whether the service works, or will")
    async def healthz() -> dict[str, str]:
        if broken.is_set():
            raise HTTPException(500, "the network cannot be compiled; see the log")
        return {"status": "alive"}

    @app.get(
        "/readyz", summary="Whether the network is compiled and requests are accepted",
        responses={503: {"description": "the network is being compiled"}},
    )
    async def readyz() -> dict[str, str]:
        if not ready.is_set():
            raise HTTPException(503, "the network is being compiled", {"Retry-After": "10"})
        return {"status": "ready", "model": network.name}

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def figures() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app
