"""Inference elsewhere: inputs of the network as files, and metrics of the scores that come back."""
