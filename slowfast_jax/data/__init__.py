"""From a config to its lists of videos or keyframes."""
