"""From clips and boxes to scores: the predict step, multi-view testing and input checks."""
