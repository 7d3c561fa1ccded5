"""File formats: from the bytes of a checkpoint file to its content."""
