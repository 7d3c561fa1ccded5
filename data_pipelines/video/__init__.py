"""Decodes videos and image files into frames, and encodes videos."""
