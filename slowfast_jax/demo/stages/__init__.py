"""What is done with frames in turn: people are found and followed, windows and people scored."""
