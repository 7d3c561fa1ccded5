"""Checks data sets before training: `python -m data_pipelines.doctor`."""
