"""Paths of the reference data, and marks that skip tests if it is not found.

`PARITY` has outputs of the original program; `REAL` has real weights, videos and labels. Both are
in ../shared beside the checkout, or in the folder that SLOWFAST_JAX_SHARED names.
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
