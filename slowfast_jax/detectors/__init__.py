"""Boxes of persons in pictures, and their tracks through a video."""
