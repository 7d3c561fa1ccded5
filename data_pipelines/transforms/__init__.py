"""From decoded frames to the pixels that the network sees; pure NumPy."""
