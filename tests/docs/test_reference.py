"""The generated reference is up to date."""

from __future__ import annotations

import subprocess
import sys

from tests.docs.paths import ROOT


def test_the_reference_is_current() -> None:
    command = [sys.executable, "scripts/reference.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
