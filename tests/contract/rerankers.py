"""Every reranker that must pass the contract: add a new one here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secondpass import BaseReranker, Blend, Calibrated, Reranker
from secondpass.rerank.calibration import Calibration
from secondpass.rerank.policies.calibration import identity_of
from tests.tiny_models import tiny_cross_encoder, tiny_reader


def _tiny(folder: Path) -> BaseReranker:
    tiny_cross_encoder(folder, "bert", labels=2)
    return Reranker(folder)


def _tiny_reader(folder: Path) -> BaseReranker:
    tiny_reader(folder)
    return Reranker(folder)


def _calibrated(folder: Path) -> BaseReranker:
    inner = Reranker()
    steps = ((-4.0, 0.01), (-1.0, 0.2), (0.0, 0.2), (5.0, 0.9))
    made = Calibration("isotonic", inner.model, identity_of(inner), steps=steps, spread=3.0)
    return Calibrated(inner, made)


FACTORIES: dict[str, Callable[[Path], BaseReranker]] = {
    "bundled": lambda folder: Reranker(),
    "bundled-tiny": lambda folder: Reranker("bundled-tiny"),
    "blend": lambda folder: Blend(Reranker()),
    "calibrated": _calibrated,
    "torch": _tiny,
    "reader": _tiny_reader,
}
"""Name to factory; a factory gets an empty folder that lives as long as the session."""
