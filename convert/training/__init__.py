"""What checkpoints of other programs hold besides weights, to resume their training."""
