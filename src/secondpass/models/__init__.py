"""Bundled models, each in a folder with its model card."""

from __future__ import annotations

from pathlib import Path

BUNDLED = ("bundled", "bundled-tiny", "bundled-embedder")
"""The names of the bundled models; the first is the default reranker."""


def bundled_path(name: str) -> Path:
    """Return the folder of a bundled model."""
    return Path(__file__).parent / name
