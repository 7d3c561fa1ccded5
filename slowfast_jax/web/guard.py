"""What stands before the page's server: it lets only the requests through that the page makes.

Gradio serves much that this page does not use: files by their path, uploads, proxies, an interface
for programs. All of it is closed here, so that no path or address from outside reaches it.
"""

import asyncio
import json
import re
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION = "[0-9A-Za-z_-]{1,64}"
READ = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt"
    r"|/assets/[\w.-]+|/static/(?:\w+/)*[\w.-]+"
    r"|/gradio_api/(?:theme\.css|info|startup-events|queue/data|app_id)"
    rf"|/gradio_api/heartbeat/{SESSION}"
    r"|/media/[0-9a-f]{32}/[a-z]+\.[a-z0-9]+"
)
JOIN = "/gradio_api/queue/join"
WRITE = re.compile(rf"{JOIN}|/upload|/discard/[0-9a-f]{{32}}")
METHODS = {READ: ("GET", "HEAD"), WRITE: ("POST",)}  # of all that the page asks for
JSON_BYTES = 16_384  # longest body of JSON
MOST_VALUES, LONGEST_TEXT = 16, 300  # of what a user chooses
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    # No script, font or picture of another host is loaded, whatever the page's library asks for.
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """An ASGI application that refuses all but the requests of the page.

    Args:
      app: the page's server.
      hosts: names of the server that a browser may use, against pages elsewhere that give this
        address a name of their own; empty: any name.
      functions: numbers of Gradio's functions that the page calls.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], functions: Collection[int]):
        self._app, self._hosts, self._functions = app, set(hosts), functions
        self._closing = asyncio.Event()

    def close_streams(self) -> None:
        """Ends what a server that ends would wait for: streams to open tabs, and uploads."""
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        receive = self._until_closing(receive)
        status, why = self._check(scope)
        if not status and scope["path"] == JOIN:
            content = await _body(receive)
            status, why = self._check_job(content)
            receive = _again(content or b"", receive)
        if status:
            answer = JSONResponse({"detail": why}, status)
            await answer(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _until_closing(self, receive: Receive) -> Receive:
        """A `receive` that says that the tab has gone once the streams are closed."""

        async def next_message() -> Message:
            read = asyncio.ensure_future(receive())
            closing = asyncio.ensure_future(self._closing.wait())
            try:
                await asyncio.wait((read, closing), return_when=asyncio.FIRST_COMPLETED)
                return read.result() if read.done() else {"type": "http.disconnect"}
            finally:
                read.cancel()
                closing.cancel()

        return next_message

    def _check(self, scope: Scope) -> tuple[int, str]:
        """The status with which to refuse a request, and why; 0 if it is allowed."""
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return 421, "this server is not called that; see --host"
        origin = headers.get("origin")
        if origin and _netloc(origin) != host:
            return 403, "requests from other sites are refused"
        if headers.get("x-forwarded-host") or headers.get("forwarded"):
            return 400, "proxies are not supported"
        allowed = next((METHODS[each] for each in METHODS if each.fullmatch(path)), None)
        if allowed is None:
            return 404, "there is no such page"
        return (0, "") if method in allowed else (405, "this method is not allowed here")

    def _check_job(self, content: bytes | None) -> tuple[int, str]:
        """As `_check`, for the body of a request that starts one of Gradio's functions."""
        if content is None:
            return 413, f"more than {JSON_BYTES} bytes of JSON"
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            return 400, "expected JSON"
        known = {"data", "event_data", "fn_index", "trigger_id", "session_hash"}
        if not isinstance(body, dict) or not body.keys() <= known:
            return 400, f"expected an object with {', '.join(sorted(known))} only"
        if type(body.get("fn_index")) is not int or body["fn_index"] not in self._functions:
            return 400, "there is no such function"
        session, data = body.get("session_hash"), body.get("data")
        if not isinstance(session, str) or not re.fullmatch(SESSION, session):
            return 400, "session_hash is not one"
        if not isinstance(data, list) or len(data) > MOST_VALUES or not all(map(_plain, data)):
            return 400, "data are not what the page sends"
        if body.get("event_data") not in (None, {}) or not _number(body.get("trigger_id")):
            return 400, "event_data and trigger_id are not what the page sends"
        return 0, ""


def _plain(value: Any) -> bool:
    """Whether a value is one that a user can choose: no object, which could name a file."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return value is None or isinstance(value, (bool, int, float))


def _number(value: Any) -> bool:
    return value is None or type(value) is int


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _body(receive: Receive) -> bytes | None:
    """The body of a request; None if it is too long."""
    content = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        content += message.get("body", b"")
        if len(content) > JSON_BYTES:
            return None
        if not message.get("more_body"):
            return content


def _again(content: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
