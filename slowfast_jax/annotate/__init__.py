"""Boxes of persons in videos, for people to label with actions."""
