"""Turns videos into TFDS data sets: ArrayRecord files of re-encoded clips.

Records can be read in random order, and close key frames make seeking in them quick. The command is
`python -m data_pipelines.tfds_builders`; docs/records.md describes how to read the data sets.
TensorFlow is not needed.
"""
