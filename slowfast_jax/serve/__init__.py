"""An HTTP service that classifies videos: `python -m slowfast_jax.serve`."""
