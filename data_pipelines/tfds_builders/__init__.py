"""Data sets of TFDS made from videos: ArrayRecord files of encoded clips with key frames close
together, so that any of them is read at once and sought in quickly.

`python -m data_pipelines.tfds_builders --help` is the command; docs/records.md tells how the files
are read. Nothing here needs TensorFlow.
"""
