"""Jobs that the command runs besides training and testing a single config."""
