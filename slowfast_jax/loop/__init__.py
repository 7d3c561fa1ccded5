"""From a config to what the training loop runs: mesh, optimizer, state, jitted steps, schedule."""
