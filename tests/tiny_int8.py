"""A tiny cross-encoder in int8, of sizes that the native engine can run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tiny_models import tiny_cross_encoder

SIZES = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}
_WORDS = ("blue", "bread", "river", "sea", "ship", "sky", "storm", "water")


def tiny_int8_cross_encoder(folder: Path, shape: str = "bert", **changes: Any) -> Path:
    """Export one below `folder` and return its folder; `changes` are of its configuration.

    With `outliers`, a few channels of what attention gives are much larger than the others, so
    that the export scales them.
    """
    from secondpass.train.export.export import ExportSettings, export_model

    source, out, pairs = folder / "source", folder / "out", folder / "pairs.jsonl"
    outliers = changes.pop("outliers", False)
    model = tiny_cross_encoder(source, shape, **{**SIZES, **changes})
    _randomize_vectors(model)
    if outliers:
        _enlarge_values(model)
    model.save_pretrained(source)
    lines = [
        json.dumps({"query": f"where is the {word}", "text": f"the {word} and a {other}"})
        for word in _WORDS
        for other in _WORDS
    ]
    pairs.write_text("\n".join(lines), encoding="utf-8")
    export_model(str(source), out, ExportSettings(calibrate=pairs, min_overlap=0.0))
    return out


def _randomize_vectors(model: Any) -> None:
    """Give random values to parameters that start as zeros and ones: biases and norms."""
    import torch

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))


def _enlarge_values(model: Any) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "value" in name:
                parameter[:3] *= 30
