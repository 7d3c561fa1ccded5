"""The server of the page: Gradio and the page's own routes, behind the guard."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

# Gradio reads these when it is imported: it reports nothing to anybody.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import gradio.routes
import uvicorn
from fastapi import FastAPI

from slowfast_jax.web.guard import Guard
from slowfast_jax.web.jobs import Jobs, Network
from slowfast_jax.web.page import STATIC, make_page
from slowfast_jax.web.routes import routes
from slowfast_jax.web.store import Store

GRACE = 2  # seconds for requests that are being answered when the server ends
SWEEP = 30.0  # seconds from one search for old files to the next
FONT = ("system-ui", "sans-serif")


def make_app(
    store: Store, networks: Mapping[str, Network], samples: Mapping[str, Path],
    hosts: Collection[str],
) -> Guard:
    """The server as an ASGI application. When it ends, it closes the store.

    Args:
      store: where uploads and results are.
      networks: what to choose from, by name.
      samples: videos to choose from, by name.
      hosts: names that this server has in a browser; see `Guard`.
    """
    # For whatever Gradio writes. The second was read when it was imported, before this folder was.
    os.environ["GRADIO_TEMP_DIR"] = gradio.routes.DEFAULT_TEMP_DIR = str(store.folder / "gradio")
    jobs = Jobs(store, networks, samples)
    explained = [name for name, each in networks.items() if not each.recognizer.takes_boxes]
    page = make_page(jobs, list(networks), explained, list(samples), store.limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(SWEEP)
                await asyncio.to_thread(store.sweep)

        task = asyncio.create_task(sweep())
        yield
        task.cancel()
        store.close()

    app = FastAPI(
        lifespan=lifespan, openapi_url=None, routes=routes(store)
    )
    gr.mount_gradio_app(
        app, page, "/", show_error=False, footer_links=[], run_history=False, ssr_mode=False,
        max_file_size=1, mcp_server=False, enable_monitoring=False,
        theme=gr.themes.Default(primary_hue="blue", font=FONT, font_mono=FONT),
        css=(STATIC / "page.css").read_text(encoding="utf-8"),
    )
    return Guard(app, hosts, list(page.fns))


class Server(uvicorn.Server):
    """Runs the application that `make_app` returns.

    Args:
      app: the application.
      host, port: where to listen.
      ready: called as soon as it listens.
    """

    def __init__(self, app: Guard, host: str, port: int, ready: Callable[[], None] = lambda: None):
        super().__init__(uvicorn.Config(
            app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=GRACE
        ))
        self._app, self._ready = app, ready

    async def startup(self, sockets: list | None = None) -> None:
        """Begins to listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list | None = None) -> None:
        """Ends the server after closing the streams of all open tabs."""
        self._app.close_streams()
        await super().shutdown(sockets)
