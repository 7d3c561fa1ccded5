"""What is done with frames in turn: people are found and tracked, windows and people scored."""
