"""Default measures, depths and cutoff, without the packages that compute with them.

The command line names them in its help, which must not import numpy.
"""

from __future__ import annotations

MEASURES = ("nDCG@10", "RR@10", "R@100", "Judged@10")
"""Computed by default."""
DEPTHS = (5, 10, 20, 50, 100)
"""Numbers of candidates that are compared by default."""
TOP_K = 10
"""How many results of a search a threshold is chosen for."""
