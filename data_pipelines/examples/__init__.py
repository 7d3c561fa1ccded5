"""From a sample or keyframe to one element of a batch."""
