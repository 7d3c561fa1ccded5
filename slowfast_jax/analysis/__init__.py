"""Analyses that train nothing: ahead-of-time compilation, and speed of the input pipeline."""
