"""Training log: mean metrics since the last line, speed, memory and remaining time."""

import math
import re
import resource
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
from absl import logging
from clu import metrics as clu_metrics

from data_pipelines.text_files import first_few
from slowfast_jax import distributed, log_file
from slowfast_jax.progress import StepLine

RECENT = 5  # number of past losses that a new one is compared with
MUCH_WAITING = 0.2  # share of time waiting for data that is worth a warning
BROKEN_AFTER = 100  # examples before the share of unreadable ones is checked
SPEED_OF = 20  # last steps whose speed a terminal shows


class Diverged(FloatingPointError):
    """A loss that is not finite or far above earlier ones; `record` describes the step."""

    def __init__(self, message: str, record: Mapping[str, Any]):
        super().__init__(message)
        self.record = dict(record)


class Meter:
    """Averages metrics and measures speed from one `read` to the next.

    Metrics of a step are fetched while the next step runs, so that the device never waits for the
    loop.
    """

    def __init__(
        self, *, total_steps: int, first_step: int = 0, max_loss_rise: float = 0.0,
        peak_flops: float = 0.0, line: StepLine | None = None,
    ):
        """
        Args:
          peak_flops: peak FLOP/s of all devices together, 0 if unknown.
          line: where a terminal shows each step, instead of log lines.
        """
        self._total, self._done, self._peak = total_steps, first_step, peak_flops
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._max_rise = max_loss_rise
        self._pending: tuple | None = None
        self._seen = self._broken = 0
        self._last_broken = ""
        self._line = line or StepLine(total_steps)
        self._all_paused = 0.0
        self._epoch_started = self._training_time()
        self._ends: deque[tuple[float, int]] = deque(maxlen=SPEED_OF)
        self._start_window()

    def _training_time(self) -> float:
        """A clock that stands still while training is paused."""
        return time.perf_counter() - self._all_paused

    def epoch_seconds(self) -> float:
        """Seconds of training since the last call, or since the start."""
        before, self._epoch_started = self._epoch_started, self._training_time()
        return self._epoch_started - before

    def _start_window(self) -> None:
        self._means: clu_metrics.Collection | None = None
        self._steps = self._clips = 0
        self._flops = 0.0
        self._waited = self._paused = 0.0
        self._lr, self._started = 0.0, time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wraps the wait for a batch."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wraps work that is not training, such as compiling, whose time does not count."""
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self._paused += seconds
        self._all_paused += seconds

    def count_broken(
        self, broken: Sequence[tuple[int, str]], examples: int, most: float
    ) -> None:
        """Logs a batch's unreadable examples; RuntimeError if their share so far exceeds `most`."""
        for _, reason in broken:
            logging.warning("skipped and replaced by another example: %s", reason)
            self._last_broken = reason
        self._seen += examples // distributed.count()
        self._broken += len(broken)
        if self._seen >= BROKEN_AFTER and self._broken > most * self._seen:
            raise RuntimeError(
                f"{self._broken} of {self._seen} examples could not be read, more than the share "
                f"config.train.max_broken={most} allows; the last: {self._last_broken}"
            )

    def add(
        self, step: int, lr: float, metrics: Mapping[str, jax.Array], clips: int,
        names: Sequence[str], flops: float = 0.0, epoch: float = 0.0,
    ) -> None:
        """Records a step that was started.

        Args:
          metrics: of the step, possibly still being computed.
          clips, names, flops: number of clips, names of the examples and FLOPs of the step.
          epoch: epochs done after the step.
        """
        self.flush()
        self._pending = (step, lr, metrics, clips, names, flops, epoch)

    def flush(self) -> None:
        """Waits for the last step.

        Raises:
          Diverged: its loss or gradient is not finite (a bad gradient ruins the parameters, which
            only the next loss would show), or the loss exceeds `max_loss_rise` times the mean of
            the previous ones (0: no limit).
        """
        if self._pending is None:
            return
        (step, lr, metrics, clips, names, flops, epoch), self._pending = self._pending, None
        values = {name: float(value) for name, value in jax.device_get(dict(metrics)).items()}
        loss, norm = values["loss"], values.get("grad_norm", 0.0)
        record = {"step": step + 1, "lr": lr, "examples": list(names)} | values
        if not math.isfinite(loss + norm):
            raise Diverged(
                f"the loss of step {step + 1} is {loss} (learning rate {lr:g}, gradient norm "
                f"{norm:g}); its examples: {first_few(names, 16)}. Lower config.schedule.base_lr, "
                "lengthen the warm-up or set config.optimizer.clip_norm; earlier checkpoints "
                "are intact", record,
            )
        before = sum(self._recent) / RECENT
        if self._max_rise and len(self._recent) == RECENT and loss > self._max_rise * before:
            raise Diverged(
                f"the loss of step {step + 1} is {loss:g}, more than config.train.max_loss_rise="
                f"{self._max_rise:g} times the mean of the previous {RECENT}, {before:g} "
                f"(learning rate {lr:g}, gradient norm {norm:g}); its examples: "
                f"{first_few(names, 16)}",
                record,
            )
        self._recent.append(loss)
        averages = {name: clu_metrics.Average.from_output(name) for name in values}
        means = clu_metrics.Collection.create(**averages).single_from_model_output(**values)
        self._means = means if self._means is None else self._means.merge(means)
        self._steps, self._done, self._lr = self._steps + 1, step + 1, lr
        self._clips += clips
        self._flops += flops
        self._show(epoch, loss, clips)

    def _show(self, epoch: float, loss: float, clips: int) -> None:
        """Shows the last step on a terminal."""
        self._ends.append((self._training_time(), clips))
        seconds = self._ends[-1][0] - self._ends[0][0]
        if not self._line.active or seconds <= 0:
            return
        speed = sum(clips for _, clips in list(self._ends)[1:]) / seconds
        left = (self._total - self._done) * seconds / (len(self._ends) - 1)
        self._line.show(self._done, epoch, loss, speed, clock(left))

    def read(self) -> dict[str, float]:
        """Logs and returns the record since the last `read`. All processes must call it."""
        self.flush()
        seconds = max(time.perf_counter() - self._started - self._paused, 1e-9)
        means = {name: float(value) for name, value in self._means.compute().items()}
        record = means | {
            "lr": self._lr,
            "clips_per_second": self._clips / seconds,
            "data_wait": min(self._waited / seconds, 1.0),
            "memory_gb": peak_memory() / 1e9,
        }
        if self._peak:
            record["mfu"] = self._flops / seconds / self._peak
        left = (self._total - self._done) * seconds / max(self._steps, 1)
        mfu = f" (MFU {record['mfu']:.0%})" if self._peak else ""
        log = log_file.note if self._line.active else partial(logging.info, "%s")
        log(
            f"step {self._done}/{self._total}: {_words(means)}, lr {self._lr:.4g}, "
            f"{record['clips_per_second']:.1f} clips/s{mfu}, waits for data "
            f"{100 * record['data_wait']:.0f} %, {record['memory_gb']:.2f} GB, {clock(left)} to go"
        )
        if distributed.count() > 1:
            waits = distributed.gather(record["data_wait"])
            record |= {f"data_wait_of_process_{i}": share for i, share in enumerate(waits)}
            slow = [f"{i} ({share:.0%})" for i, share in enumerate(waits) if share > MUCH_WAITING]
            if slow and distributed.first():
                logging.warning("process %s waits for data, and all others wait for it",
                                ", ".join(slow))
        self._start_window()
        return record


def best_so_far(validations: Sequence[Mapping[str, Any]], headline: str) -> str:
    """The last validation's headline metric and errors, each with the best one so far.

    Args:
      validations: the records of all validations of a run.
    """
    last = validations[-1]
    if last.get(headline) is None:
        return f"{headline} is not a number"
    finite = [row for row in validations if row.get(headline) is not None]

    def described(name: str, values: Sequence[float], choose: Any, word: str) -> str:
        best = choose(values)
        where = finite[values.index(best)]["step"]
        so_far = f"{word} so far: {best:.2f} at step {where}"
        if best == values[-1] and values.index(best) == len(values) - 1:  # not a tie
            so_far = f"the {word} so far"
        return f"{name} {values[-1]:.2f} ({so_far})"

    parts = [described(headline, [row[headline] for row in finite], max, "best")]
    for name in last:
        if re.fullmatch(r"top\d_acc", name):
            errors = [100 - row[name] for row in finite]
            parts.append(described(name.replace("_acc", "_err"), errors, min, "lowest"))
    return ", ".join(parts)


def peak_memory() -> float:
    """Peak memory in bytes of the fullest device; on CPUs, that of this process."""
    held = [(device.memory_stats() or {}).get("peak_bytes_in_use", 0)
            for device in jax.local_devices()]
    return max(held) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def clock(seconds: float) -> str:
    """1:02:03 for 3723 seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
