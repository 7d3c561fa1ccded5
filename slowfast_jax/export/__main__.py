"""Writes a network with its weights as one file that runs without this project.

    python -m slowfast_jax.export kinetics/x3d_xs x3d_xs.exported --weights x3d_xs.pyth
    python -m slowfast_jax.export RUN network.exported --platforms cpu,cuda,tpu
    python -m slowfast_jax.export kinetics/x3d_xs x3d_xs.onnx --weights x3d_xs.pyth
    python -m slowfast_jax.run_exported x3d_xs.exported a.mp4
"""

import sys

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":
    interrupts.end_at_once()
    malloc.restart_with_settings()
    from slowfast_jax.export_command import cli

    sys.exit(cli())
