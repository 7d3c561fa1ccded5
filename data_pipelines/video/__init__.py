"""From the bytes of a video, or of image files, to frames."""
