"""Brings data sets into the layout that the recipes read: `python -m data_pipelines.prepare`."""
