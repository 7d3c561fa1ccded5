"""Compiler options for programs whose compilation takes longer than their few small steps."""

FAST = {"xla_backend_optimization_level": 0}  # compiles fast, runs slowly
