"""The type of paths, and the suffixes by which files count as videos or images."""

import os

PathLike = str | os.PathLike
# In lower case; names are compared without regard to case. A file with another suffix, or none, is
# opened to see whether it is a video (video/finding.py).
VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".flv", ".3gp", ".3g2", ".vob", ".ogv", ".asf", ".divx", ".f4v", ".dv", ".mxf", ".qt",
    ".m2v", ".mpe", ".y4m",
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
