"""The type of paths, and the suffixes by which files count as videos or images."""

import os

PathLike = str | os.PathLike
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".MP4", ".MOV", ".AVI")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
