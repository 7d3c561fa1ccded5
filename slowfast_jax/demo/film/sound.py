"""Carries the sound of a video over into a film."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import av

from data_pipelines.video.opening import Encoded, VideoError, open_video

COPIED = {"aac", "mp3", "opus", "flac"}  # codecs that MP4 can hold and browsers play
AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
AAC_RATE = 48000  # of sound with another rate
BAD = (av.error.FFmpegError, OSError, ValueError, IndexError)


class Sound:
    """The sound of a video, which a film takes over in step with its pictures.

    Packets are copied if their codec is one of COPIED, otherwise re-encoded to AAC, with two
    channels at most. Damaged sound ends early, without an error.
    """

    def __init__(self, video: Encoded, out: av.container.OutputContainer):
        """Adds a stream to `out`, which nothing has been written to, if the video has sound."""
        self._open = ExitStack()
        self._out, self._parts, self._next = out, iter(()), None
        try:
            container, pictures = self._open.enter_context(open_video(video, "NONE"))
            source = container.streams.best("audio")
            if source is None or source.codec_context is None or not source.time_base:
                return
            begin = (pictures.start_time or 0) * (pictures.time_base or 0)
            self._parts = self._prepared(container, source, round(begin / source.time_base))
            self._next = next(self._parts, None)
        except (VideoError, *BAD):
            self._next = None

    def write_until(self, time: float) -> None:
        """Writes what is heard up to a time in seconds."""
        try:
            while self._next is not None and self._next[0] <= time:
                self._out.mux(self._next[1])
                self._next = next(self._parts, None)
        except BAD:
            self._next = None

    def close(self) -> None:
        """Closes the video."""
        self._open.close()

    def _prepared(self, container: Any, source: Any, begin: int) -> Iterator[tuple[float, Any]]:
        """Adds the stream; returns (time, packet) of all packets from `begin` on, in ticks."""
        if source.codec_context.codec.canonical_name in COPIED:
            stream = self._out.add_stream_from_template(source)
            return self._copied(container, source, stream, begin)
        context = source.codec_context
        rate = context.sample_rate if context.sample_rate in AAC_RATES else AAC_RATE
        stream = self._out.add_stream("aac", rate=rate)
        stream.codec_context.layout = "mono" if context.channels == 1 else "stereo"
        return self._encoded(container, source, stream, begin)

    @staticmethod
    def _copied(
        container: Any, source: Any, stream: Any, begin: int
    ) -> Iterator[tuple[float, Any]]:
        for packet in container.demux(source):
            if packet.size == 0 or packet.pts is None or packet.pts < begin:
                continue
            packet.pts -= begin
            packet.dts = packet.pts
            packet.stream = stream
            yield float(packet.pts * source.time_base), packet

    @staticmethod
    def _encoded(
        container: Any, source: Any, stream: Any, begin: int
    ) -> Iterator[tuple[float, Any]]:
        time = 0.0
        for frame in container.decode(source):
            if frame.pts is None or frame.pts < begin:
                continue
            frame.pts -= begin
            time = float(frame.pts * source.time_base)
            for packet in stream.encode(frame):
                yield time, packet
        for packet in stream.encode(None):
            yield time, packet
