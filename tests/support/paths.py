"""Where the reference data lies, and what to do where it does not.

`PARITY` holds what the original program printed, `REAL` real weights, videos and labels. Both are
in ../shared beside the checkout, or where SLOWFAST_JAX_SHARED points. Tests that need them skip
and say so.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SLOWFAST_JAX_SHARED", ROOT.parent / "shared"))
PARITY = SHARED / "parity"
REAL = SHARED / "real"

needs_parity = pytest.mark.skipif(
    not PARITY.is_dir(), reason=f"reference outputs of the original program not found in {PARITY}"
)
needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"real weights and videos not found in {REAL}"
)
