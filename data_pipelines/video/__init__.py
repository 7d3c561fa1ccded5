"""Decodes videos and image files into frames, and encodes videos."""

from data_pipelines.video.image_files import Pictures
from data_pipelines.video.opening import Encoded

Video = Encoded | Pictures  # an encoded video (a file or a record), or one stored as images
