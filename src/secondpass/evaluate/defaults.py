"""What is measured and tried where nothing else is asked for."""

from __future__ import annotations

MEASURES = ("nDCG@10", "RR@10", "R@100", "Judged@10")
DEPTHS = (5, 10, 20, 50, 100)
TOP_K = 10
"""How many results of a search a threshold is chosen for."""
