"""What a step costs: compiling ahead of time, and the speed of the input pipeline."""
