"""`python -m convert INPUT OUTPUT --config CONFIG`: the entry point of the convert command."""

import sys

from slowfast_jax.convert_command import cli

if __name__ == "__main__":
    sys.exit(cli())
