"""From annotation files and lists to samples (videos with labels) and keyframes (with boxes)."""
