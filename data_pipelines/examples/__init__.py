"""From a video or keyframe to one example, in training or testing."""
