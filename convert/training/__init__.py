"""Weights for the start of a training, and the training state that files of other programs hold."""
