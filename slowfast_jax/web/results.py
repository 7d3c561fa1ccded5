"""What the page shows of the results of a job, as HTML."""

from collections.abc import Mapping, Sequence
from html import escape

HINT = (
    "Open an action or a person to see its scores over time. Click a colored part to go to that "
    "second of the film."
)


def in_short(reason: str) -> str:
    """Why a video cannot be read, for a visitor: without what the owner of a data set should do."""
    return reason.partition(";")[0]


def answer_html(
    headline: tuple[str, str], films: Mapping[str, str], downloads: Mapping[str, str],
    timeline: str, notes: Sequence[str],
) -> str:
    """The results of a job.

    Args:
      headline: what is in the video, and a remark on it.
      films: title -> address; the first is the one that the timeline belongs to.
      downloads: text -> address.
      timeline: HTML.
      notes: sentences about what is not as expected.
    """
    title, remark = map(escape, headline)
    remarks = "".join(f'<p class="remark" role="status">{escape(note)}</p>' for note in notes)
    links = "".join(
        f'<a href="{address}" download>{escape(text)}</a>' for text, address in downloads.items()
    )
    first, *others = (
        f'<video controls playsinline preload="auto" src="{address}" aria-label="{escape(text)}">'
        "</video>" for text, address in films.items()
    )
    more = "".join(
        f"<h3>{escape(text[:1].upper() + text[1:])}</h3>{film}"
        for text, film in zip([*films][1:], others, strict=True)
    )
    return (
        f"<h2>{title} <small>{remark}</small></h2>{remarks}{first}"
        f'<p class="quiet">{HINT}</p>{timeline}{more}<p class="downloads">{links}</p>'
    )
