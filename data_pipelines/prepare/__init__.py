"""Turns downloaded data sets into the files that the recipes read."""
