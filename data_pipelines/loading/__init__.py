"""From elements to batches in a reproducible order."""
