"""From clips and boxes to scores: multi-view testing and input checks."""
