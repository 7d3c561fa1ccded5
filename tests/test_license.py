"""The license file is the standard text, and wheels contain it."""

import hashlib
import re

from tests.support.paths import ROOT

APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # SHA-256


def test_the_license_is_apache_2_and_is_packaged():
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == APACHE_2
    setup = (ROOT / "setup.py").read_text()
    assert 'license="Apache-2.0"' in setup
    assert re.search(r'license_files=\["LICENSE"\]', setup)
