"""The page itself: what Gradio shows, and which functions its buttons call."""

from collections.abc import Callable, Sequence
from pathlib import Path

import gradio as gr

from slowfast_jax.web.jobs import Jobs, Refused, Stopped
from slowfast_jax.web.store import Limits

STATIC = Path(__file__).with_name("static")
TITLE = "Actions in a video"
PRIVACY = (
    "Videos stay on the machine that runs this page, and are removed when you close it."
)
LOOK = "show where the network looks (slower{})"
EMPTY = '<p class="empty">The annotated film will appear here.</p>'
WAITING = "<p>&nbsp;</p>"  # beneath the progress
STOPPED = '<p class="empty">Stopped.</p>'
# results.js then shows the answer.
SHOW_ANSWER = "(...values) => { window.dispatchEvent(new Event('asked')); return values; }"


def make_page(
    jobs: Jobs, networks: Sequence[str], explained: Sequence[str], samples: Sequence[str],
    limits: Limits,
) -> gr.Blocks:
    """The page. Its functions run in threads, one job at a time.

    Args:
      jobs: does the work.
      networks: names to choose from; the first is chosen.
      explained: those of them that can show where they look.
      samples: names of videos to choose from.
      limits: what `jobs` accepts.
    """
    accepted = f"at most {limits.megabytes:g} MB and {limits.seconds:g} seconds"
    only = "" if len(explained) == len(networks) else f"; {', '.join(explained)} only"
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(f'<h1>{TITLE}</h1><p class="quiet">{PRIVACY}</p>')
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                upload = gr.HTML(
                    "", html_template=_read("picker.html"), js_on_load=_read("picker.js"),
                    accepted=accepted, most=int(limits.megabytes * 1e6),
                )
                sample = gr.Radio(
                    samples, label="or a sample", visible=bool(samples), elem_classes="samples"
                )
                network = gr.Dropdown(
                    networks, value=networks[0], label="network", visible=len(networks) > 1,
                    filterable=False,
                )
                look = gr.Checkbox(
                    label=LOOK.format(only), container=False, visible=bool(explained),
                )
                with gr.Row():
                    start = gr.Button("Recognize", variant="primary", min_width=120)
                    stop = gr.Button("Stop", min_width=80)
            with gr.Column(scale=5, min_width=300):
                answer = gr.HTML(
                    EMPTY, js_on_load=_read("results.js"), elem_classes="answer", min_height=160
                )
        sample.input(None, None, upload, js="() => ''")
        options = {"api_visibility": "private", "concurrency_limit": None}
        upload.upload(_claim(jobs), upload, sample, show_progress="hidden", **options)
        chosen = [upload, sample, network, look]
        asked = start.click(
            _admit(jobs), chosen[:2], answer, show_progress="hidden", js=SHOW_ANSWER, **options
        )
        asked.success(
            _run(jobs), chosen, answer, api_visibility="private", concurrency_limit=1,
            concurrency_id="job",
        )
        stop.click(_of_session(jobs.stop), None, None, show_progress="hidden", **options)
        page.unload(_of_session(jobs.leave))
    page.queue(max_size=4 * limits.waiting)
    return page


def _claim(jobs: Jobs) -> Callable:
    def claim(upload: str, request: gr.Request) -> None:
        """The sample that is chosen after an upload: none."""
        jobs.claim(request.session_hash, upload)

    return claim


def _admit(jobs: Jobs) -> Callable:
    def admit(upload: str, sample: str | None, request: gr.Request) -> str:
        try:
            jobs.admit(request.session_hash, upload, sample)
            return WAITING
        except Refused as error:
            raise _shown(error) from error

    return admit


def _run(jobs: Jobs) -> Callable:
    def run(
        upload: str, sample: str | None, network: str, look: bool, request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio looks for it here)
    ) -> str:
        def report(share: float, what: str) -> None:
            progress(share, desc=what)

        try:
            return jobs.run(request.session_hash, upload, sample, network, look, report)
        except Stopped:
            return STOPPED
        except Refused as error:
            raise _shown(error) from error

    return run


def _of_session(act: Callable[[str], None]) -> Callable:
    def of_session(request: gr.Request) -> None:
        act(request.session_hash)

    return of_session


def _shown(error: Exception) -> gr.Error:
    """The message as the page shows it, until the user closes it."""
    return gr.Error(str(error), duration=None, print_exception=False, title="")


def _read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")
