"""The modules of benchmarks/, found as `python benchmarks/quality.py` finds them."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# A source distribution has the tests and not the benchmarks.
collect_ignore_glob = [] if BENCHMARKS.is_dir() else ["test_*.py"]
sys.path.insert(0, str(BENCHMARKS))
