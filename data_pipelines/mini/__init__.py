"""Small generated data sets for tests and demonstrations."""
