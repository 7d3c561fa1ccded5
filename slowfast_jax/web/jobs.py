"""The jobs of the page: a video in, its film, timeline and table out, for one tab at a time."""

import threading
from collections.abc import Mapping
from pathlib import Path

from data_pipelines.video.decoding import VideoError
from slowfast_jax.web.networks import Network
from slowfast_jax.web.results import in_short
from slowfast_jax.web.store import Entry, Store
from slowfast_jax.web.work import FILM, LOOK, TABLE, Report, annotate

CHOOSE = "Choose a video first: your own, or one of the samples."
LOST = "The uploaded video is no longer there. Choose it again."


class Refused(Exception):
    """Why a job is not done, as a sentence for the user."""


class Stopped(Exception):
    """The user stopped the job, or left."""


class Jobs:
    """Does the jobs, and knows which tabs wait for one. Threads may use it at the same time."""

    def __init__(
        self, store: Store, networks: Mapping[str, Network], samples: Mapping[str, Path]
    ):
        self._store, self._networks, self._samples = store, networks, samples
        self._lock = threading.Lock()
        self._waiting: set[str] = set()  # sessions
        self._running: dict[str, Entry] = {}  # session -> where its results go

    def claim(self, session: str, upload: str) -> None:
        """Notes which tab an upload belongs to, and so is removed with."""
        entry = self._store.get(upload)
        if entry and entry.upload:
            entry.session = session

    def admit(self, session: str, upload: str, sample: str | None) -> None:
        """Notes that a tab waits for a job.

        Raises:
          Refused: no video is chosen, or too many wait.
        """
        self._video(upload, sample)
        self.claim(session, upload)
        most = self._store.limits.waiting
        with self._lock:
            if session in self._waiting or session in self._running:
                raise Refused("This page is already processing or waiting for a video.")
            if len(self._waiting) >= most:
                raise Refused(f"{most} videos are waiting already. Try again in a few minutes.")
            self._waiting.add(session)

    def run(
        self, session: str, upload: str, sample: str | None, network: str, look: bool,
        report: Report,
    ) -> str:
        """Does a job that was admitted; returns what the page shows.

        Args:
          session: the tab.
          upload, sample: token of an uploaded video, or name of a sample.
          network: name of one of the networks.
          look: also make a film of where the network looks.
          report: called often.

        Raises:
          Refused: the video cannot be processed.
          Stopped: the user stopped it, or left.
        """
        with self._lock:
            if session not in self._waiting:
                raise Stopped
            self._waiting.remove(session)
            name, video = self._video(upload, sample)
            token = self._store.new_results(session)
            self._running[session] = entry = self._store.get(token)
        try:
            def report_or_stop(share: float, what: str) -> None:
                if entry.gone.is_set():
                    raise Stopped
                report(share, what)

            html = annotate(
                self._networks[network], video, name, look, entry.folder, f"media/{token}",
                report_or_stop,
            )
            entry.names |= {FILM, TABLE, LOOK}
            return html
        except VideoError as error:
            raise Refused(f"The video cannot be read: {in_short(error.reason)}.") from error
        except Exception:
            if entry.gone.is_set():  # its folder was removed while it was written to
                raise Stopped from None
            raise
        finally:
            with self._lock:
                self._running.pop(session, None)
            if entry.gone.is_set():
                self._store.remove(token)

    def stop(self, session: str) -> None:
        """Ends the job of a tab, or takes it out of the queue."""
        with self._lock:
            self._waiting.discard(session)
            entry = self._running.get(session)
        if entry:
            entry.gone.set()

    def leave(self, session: str) -> None:
        """The tab was closed: ends its job and removes its files."""
        self.stop(session)
        self._store.leave(session)

    def _video(self, upload: str, sample: str | None) -> tuple[str, Path]:
        """Name and file of the chosen video. Once a sample is chosen, the page gives up uploads."""
        if not upload and sample not in self._samples:
            raise Refused(CHOOSE)
        if not upload:
            return sample, self._samples[sample]
        entry = self._store.get(upload)
        if entry is None or not entry.upload:
            raise Refused(LOST)
        return "upload", entry.video
