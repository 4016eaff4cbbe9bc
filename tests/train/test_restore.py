"""Weights that are read back from an int8 graph."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from secondpass import ModelError, Reranker
from secondpass.models import bundled_path
from secondpass.train.export.export import ExportSettings, export_model
from secondpass.train.export.restore import restore_weights

TRAIN = Path(__file__).parents[2] / "scripts" / "train_full.py"
QUERY = "When did the black death reach England?"
TEXTS = [
    "The plague came to England in June 1348, by ship.",
    "The Black Death killed a third of Europe.",
    "Boil the rice for ten minutes.",
]


def test_a_model_is_trained_further_from_what_was_exported(tmp_path: Path) -> None:
    runpy.run_path(str(TRAIN))["restore"](bundled_path("bundled-full"), tmp_path / "restored")
    settings = ExportSettings(precision="fp32", max_length=256)
    export_model(str(tmp_path / "restored"), tmp_path / "fp32", settings)
    shipped, restored = (
        Reranker(model).rerank(QUERY, TEXTS) for model in ("bundled-full", tmp_path / "fp32")
    )
    before = {r.index: r.score for r in shipped.results}
    after = {r.index: r.score for r in restored.results}
    # Activations are rounded in one of them; scores of these texts are 2 apart and more.
    assert all(abs(before[i] - after[i]) < 0.5 for i in before)


def test_every_trained_weight_is_restored() -> None:
    found = restore_weights(bundled_path("bundled-full"))
    linear = [n for n in found if n.endswith("weight") and "LayerNorm" not in n]
    assert len(linear) == 6 * 6 + 2
    assert found["bert.encoder.layer.5.output.dense.weight"].shape == (384, 1536)
    assert all(np.isfinite(values).all() and values.any() for values in found.values())


def test_a_graph_without_such_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be restored"):
        restore_weights(bundled_path("bundled"))
