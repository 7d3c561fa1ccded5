"""From frames to the pixels a network sees: resizing, crops, colors, masks. Pure NumPy."""
