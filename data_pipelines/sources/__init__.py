"""From the annotation files people have to samples (videos) and keyframes (boxes at a time)."""
