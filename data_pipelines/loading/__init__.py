"""From examples to batches: order, threads, worker processes."""
