"""When each frame of a video is shown, also at a variable rate."""

import numpy as np

from data_pipelines.video.decoding import Encoded, data_packets, open_video, probe
from data_pipelines.video.times import KNOWN, jumps_back, keeps_times


def frame_times(path: Encoded) -> np.ndarray:
    """Seconds from the first frame to each frame, float64 (n,), in order of display.

    Where the file has no usable times, frames are equally far apart.

    Raises:
        VideoError: the video cannot be opened or no frame can be decoded.
    """
    with open_video(path, "NONE") as (container, stream):
        packets = [p for p in data_packets(container, stream, []) if not p.is_discard]
        known = [packet.pts for packet in packets if packet.pts is not None]
        base = stream.time_base
        usable = keeps_times(container, stream) and len(known) >= max(1, KNOWN * len(packets))
        if usable and not jumps_back([packet.dts for packet in packets], base):
            times = np.sort(np.array(known, np.float64)) * float(base)
            return times - times[0]
    info = probe(path)
    return np.arange(info.frames) / info.fps
