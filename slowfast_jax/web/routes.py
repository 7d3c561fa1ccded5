"""The page's own routes: uploads and the files of results, known by tokens only."""

from pathlib import Path

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from data_pipelines.video.decoding import VideoError, VideoInfo, probe
from slowfast_jax.web.results import in_short
from slowfast_jax.web.store import Full, Store

STALLED = 30.0  # seconds without a byte after which an upload is given up
TYPES = {".mp4": "video/mp4", ".json": "application/json"}


def routes(store: Store) -> list[Route]:
    """Routes for uploads, for giving them up, and for the files of results."""
    limits = store.limits

    async def upload(request: Request) -> Response:
        """Takes the bytes of a video as the body; answers with its token and facts."""
        most = int(limits.megabytes * 1e6)
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            return refuse(413, f"The file has more than {limits.megabytes:g} MB.")
        try:
            token = store.new_upload()
        except Full:
            return refuse(
                503, f"{limits.stored} videos are waiting already. Try again in a few minutes."
            )
        kept = False
        try:
            path = store.get(token).video
            if not await receive(request, path, most):
                return refuse(413, f"The file has more than {limits.megabytes:g} MB.")
            info = await anyio.to_thread.run_sync(probe, path)
            if why := too_long(info, limits.seconds):
                return refuse(413, why)
            kept = True
            return JSONResponse({
                "token": token, "seconds": info.duration, "width": info.width,
                "height": info.height,
            })
        except VideoError as error:
            return refuse(400, f"This is not a video that can be read: {in_short(error.reason)}.")
        except ClientDisconnect:
            return refuse(400, "The connection ended within the file.")
        except TimeoutError:
            return refuse(408, f"No more of the file came for {STALLED:g} seconds.")
        finally:
            if not kept:
                store.remove(token)

    async def discard(request: Request) -> Response:
        """Removes an upload: its tab was closed, or another video replaces it."""
        store.remove(request.path_params["token"])
        return Response(status_code=204)

    async def media(request: Request) -> Response:
        """A film or table of results; films can be read in parts."""
        path = store.file(request.path_params["token"], request.path_params["name"])
        if path is None or not path.is_file():
            return refuse(404, "This file is no longer there.")
        return FileResponse(
            path, media_type=TYPES[path.suffix], headers={"cache-control": "no-store"}
        )

    return [
        Route("/upload", upload, methods=["POST"]),
        Route("/discard/{token}", discard, methods=["POST"]),
        Route("/media/{token}/{name}", media, methods=["GET", "HEAD"]),
    ]


def refuse(status: int, why: str) -> Response:
    """The answer to a request that is not done."""
    return JSONResponse({"detail": why}, status)


def too_long(info: VideoInfo, seconds: float) -> str:
    """Why a video is refused; "" if it is not."""
    if info.duration <= seconds:
        return ""
    return f"The video has {info.duration:.0f} seconds, more than {seconds:g}."


async def receive(request: Request, path: Path, most: int) -> bool:
    """Writes the body of a request into a file; False if it has more than `most` bytes.

    Raises:
      ClientDisconnect, TimeoutError: its end does not come.
    """
    size, parts = 0, request.stream()
    async with await anyio.open_file(path, "wb") as file:
        while True:
            with anyio.fail_after(STALLED):
                part = await anext(parts, None)
            if part is None:
                return True
            size += len(part)
            if size > most:
                return False
            await file.write(part)
