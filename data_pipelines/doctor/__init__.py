"""Checks data sets before they are used: `python -m data_pipelines.doctor`."""
