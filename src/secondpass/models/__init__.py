"""Bundled models, each in a folder with its model card, and calibration pairs."""

from __future__ import annotations

from pathlib import Path

BUNDLED = ("bundled", "bundled-tiny", "bundled-full", "bundled-embedder")
"""The names of the bundled models; the first is the default reranker."""


RESCORERS = {"bundled": "bundled-full"}
"""Which model reads the first results of another one again, where a search leaves that open."""


def bundled_path(name: str) -> Path:
    """Return the folder of a bundled model."""
    return Path(__file__).parent / name


def calibration_pairs() -> Path:
    """Return the file of the pairs that int8 models are calibrated on by default."""
    return Path(__file__).parent / "calibration" / "pairs.jsonl"
