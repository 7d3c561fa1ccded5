"""Options for programs that run once on little data."""

FAST = {"xla_backend_optimization_level": 0}  # compiles fast, runs slowly
