"""Time stamps, frame rates and durations of video files, and how to correct impossible ones."""

import math
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np

# Plausible frame rates, from slides to slow motion. Headers that state others mostly give the time
# base instead of the rate, such as 1000 in Matroska and 60000 in DV.
PLAUSIBLE = (1, 480)
# A stated rate is wrong if it differs by more than this factor from what the time stamps show. An
# average over a variable rate, or one of fields instead of frames, differs by less.
WRONG_BY = 2.5
# There is a gap between two frames that are at least this many seconds and this many usual
# intervals apart.
GAP_SECONDS, GAP_INTERVALS = 1.0, 10
# Intervals within this fraction of the median are usual; beside a gap, they may be off.
USUAL_WITHIN = 0.5
# A jump back of this many seconds begins another recording; frames out of order jump back by less.
JUMP_BACK = 1.0
KNOWN = 0.9  # share of frames that must have time stamps; at a gap, FFmpeg may lose one
# Formats that state the delay of each frame alone; FFmpeg guesses their rate from the first ones.
DELAYS_ONLY = {"gif", "apng"}
ROUNDED = 0.01  # fraction by which a rate shown by time stamps may be off; seconds of a duration
ASSUMED = Fraction(30)  # rate of files that state none
# FFmpeg writes this number of frames to an AVI file as a placeholder. It remains if the file is a
# pipe, in which FFmpeg cannot go back to fill in the real number.
PLACEHOLDER = 2**30


def keeps_times(container, stream) -> bool:
    """Whether frames of this file have usable time stamps."""
    codec = stream.codec_context
    if container.format.name in ("avi", "asf", "mxf"):
        # They store the decoding order alone, and FFmpeg gets the first time stamp of H.264 wrong.
        if codec.has_b_frames or codec.name == "h264":
            return False
    # MPEG-PS has time stamps for only some frames.
    return stream.start_time is not None and container.format.name != "mpeg"


def header_rate(container, stream) -> Fraction | None:
    """The frame rate that the header states; None if it states none that is plausible."""
    if container.format.name in DELAYS_ONLY:
        return None
    rate = _stated(stream)
    return rate if rate and _plausible(rate) else None


def usual_rate(stream) -> Fraction:
    """The first plausible frame rate that a file states, or 30."""
    return _first_plausible(stream) or ASSUMED


def frame_rate(
    container,
    stream,
    times: Sequence[int | None],
    last_duration: int | None = None,
    order: Sequence[int | None] | None = None,
) -> tuple[float, str]:
    """The frame rate of a video, from its header and its time stamps.

    That is the average rate stated by the header, as in the original, unless the time stamps show
    another one. Gaps between recordings do not count: a stated average that includes them (MP4 and
    MOV) is replaced.

    Args:
        times: time stamps of frames or packets, in ticks of the stream.
        last_duration: ticks for which the last frame is shown, if known.
        order: decoding times of the same frames or packets, if known; see `intervals`.

    Returns:
        (frames per second, what is wrong with the header or "").
    """
    stated = _stated(stream)
    shown, with_gaps = _shown_rates(container, stream, times, last_duration, order)
    delays_only = container.format.name in DELAYS_ONLY
    includes_gaps = False
    if not delays_only and stated and shown:
        includes_gaps = _ratio(stated, with_gaps) < _ratio(stated, shown)
        if not includes_gaps and _ratio(stated, shown) <= WRONG_BY:
            return float(stated), ""
    if shown and shown <= PLAUSIBLE[1]:
        rate, source = shown, "by the time stamps"
        if not delays_only:  # time stamps are rounded
            others = (rate for rate in _plausible_rates(stream) if rate != stated)
            rate = next((rate for rate in others if _ratio(rate, shown) < 1 + ROUNDED), shown)
    else:
        rate, source = _first_plausible(stream), "which the file states as well"
    if not rate:
        return float(ASSUMED), f"the file states no frame rate; {ASSUMED} is assumed"
    if not stated or rate == stated or delays_only or includes_gaps:
        return float(rate), ""
    return float(rate), f"the header states {_text(stated)} fps; {_text(rate)} is used, {source}"


def duration_of(container, stream) -> float:
    """Seconds from the first frame to the end, as the header states; 0 if it does not."""
    if stream.frames >= PLACEHOLDER:  # FFmpeg then guesses the duration from the size of the file
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    seconds = _tagged_duration(container, stream) or (container.duration or 0) / av.time_base
    if "matroska" in container.format.name and stream.start_time:  # states the time of the end
        seconds -= float(stream.start_time * stream.time_base)
    return max(seconds, 0.0)


def shares_duration(container, stream) -> bool:
    """Whether the duration that the header states may be that of another stream, such as sound."""
    alone = stream.duration is not None or len(container.streams) == 1
    return not alone and _tagged_duration(container, stream) is None


def last_end(stream, packets: Iterable[tuple[int | None, int | None]]) -> float:
    """Seconds from the first frame to the end of the last packet; 0 without time stamps.

    Args:
        packets: (display time, duration) in ticks of the stream.
    """
    ends = [time + (duration or 0) for time, duration in packets if time is not None]
    if not ends or stream.start_time is None:
        return 0.0
    return float((max(ends) - stream.start_time) * stream.time_base)


def _tagged_duration(container, stream) -> float | None:
    """Seconds to the end of the stream by the tag of Matroska files that FFmpeg has written.

    None if there is only one stream, if another program wrote the tag, which then may not count the
    time before the first frame, or if the tag is that of a longer file.
    """
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    by_other = any(key.startswith("_STATISTICS") for key in stream.metadata)
    if tag is None or by_other or len(container.streams) == 1:
        return None
    seconds = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return seconds if 0 < seconds <= (container.duration or 0) / av.time_base + ROUNDED else None


def intervals_of(
    container, stream, times: Sequence[int | None], order: Sequence[int | None] | None = None
) -> np.ndarray | None:
    """As `intervals`, for frames or packets of this file; None if their times are not usable."""
    if keeps_times(container, stream):
        return intervals(times, stream.time_base, order)
    if container.format.name == "avi" and order is not None:  # counts dropped frames as well
        return intervals(order, stream.time_base)
    return None


def intervals(
    times: Sequence[int | None],
    base: Fraction | None,
    order: Sequence[int | None] | None = None,
) -> np.ndarray | None:
    """Seconds from each frame to the next in order of display; None if many are unknown.

    Args:
        times: time stamps of frames in order of display, or of packets.
        base: seconds of a tick.
        order: decoding times of the packets. Another recording begins where they jump back. With
            B-frames, display times of packets jump back within a recording as well, at low and
            variable rates by many seconds.
    """
    known = [time for time in times if time is not None]
    if base is None or len(known) < max(2, KNOWN * len(times)):
        return None
    if order is None:
        order = times
    rising = [now for time, now in zip(times, order, strict=True) if time is not None]
    starts = _starts(rising, base)
    parts = np.split(np.array(known, np.float64) * float(base), starts)
    return np.concatenate([np.diff(np.sort(part)) for part in parts])


def jumps_back(times: Sequence[int | None], base: Fraction | None) -> bool:
    """Whether time stamps jump back, as where a file holds two recordings."""
    return base is not None and bool(_starts(times, base))


def gaps(between: np.ndarray) -> np.ndarray:
    """Which of the `intervals` are gaps: bool, of the same shape."""
    usual = float(np.median(between)) if len(between) else 0.0
    return between > (gap_length(1 / usual) if usual else GAP_SECONDS)


def gap_length(fps: float) -> float:
    """Seconds beyond which an interval between frames is a gap between recordings."""
    return max(GAP_SECONDS, GAP_INTERVALS / fps)


def _shown_rates(
    container,
    stream,
    times: Sequence[int | None],
    last_duration: int | None,
    order: Sequence[int | None] | None,
) -> tuple[float | None, float | None]:
    """Frames per second by the time stamps, without and with gaps; None if they are not usable."""
    between = intervals_of(container, stream, times, order)
    if between is None:
        return None, None
    if container.format.name in DELAYS_ONLY:
        total = between.sum() + float((last_duration or 0) * stream.time_base)
        return (len(times) / total,) * 2 if total > 0 else (None, None)
    interval = average = float(between.mean())
    if gaps(between).any():
        usual = float(np.quantile(between, 0.5, method="lower"))  # one of the intervals
        interval = float(between[np.abs(between - usual) <= USUAL_WITHIN * usual].mean())
    return (1 / interval, 1 / average) if interval > 0 else (None, None)


def _starts(times: Sequence[int | None], base: Fraction) -> list[int]:
    """Where time stamps jump back: indices of the first ones of further recordings."""
    starts, latest, longest = [], -math.inf, JUMP_BACK / float(base)
    for number, time in enumerate(times):
        if time is None:
            continue
        if time < latest - longest:
            starts.append(number)
            latest = time
        latest = max(latest, time)
    return starts


def _stated(stream) -> Fraction | None:
    """The average rate in the header, or the one that container and codec agree on."""
    if stream.average_rate:
        return stream.average_rate
    return stream.guessed_rate if stream.guessed_rate == stream.codec_context.framerate else None


def _first_plausible(stream) -> Fraction | None:
    return next(iter(_plausible_rates(stream)), None)


def _plausible_rates(stream) -> list[Fraction]:
    codec_rate = stream.codec_context.framerate
    rates = stream.average_rate, codec_rate, stream.guessed_rate, stream.base_rate
    return [rate for rate in rates if rate and _plausible(rate)]


def _ratio(rate: Fraction | float, other: float) -> float:
    """The factor by which two rates differ, at least 1."""
    return max(float(rate) / other, other / float(rate))


def _plausible(rate: Fraction) -> bool:
    return PLAUSIBLE[0] <= rate <= PLAUSIBLE[1]


def _text(rate: Fraction | float) -> str:
    return f"{float(rate):.4g}" if rate < 10**4 else f"{float(rate):.0f}"
