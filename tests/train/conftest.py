from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_models import tiny_embedder

QUESTIONS = ("how do i reset my password", "why is the sky blue", "what was the slow ship")
PASSAGES = ("put the new password in the mail", "the sky was blue in the storm", "ship to sea")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve questions, each with three passages."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"query": f"{question} {turn}", "text": f"{passage}, {turn * 3 + number} slow river"}
        for turn in range(4)
        for question in QUESTIONS
        for number, passage in enumerate(PASSAGES)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT in a transformers folder."""
    folder = tmp_path_factory.mktemp("weights") / "bert"
    tiny_embedder(folder, "bert")
    return folder


@pytest.fixture(scope="session")
def encoder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, exported with the states after its first and its second layer."""
    pytest.importorskip("onnxscript")
    from secondpass.train.export.export import ExportSettings, export_model

    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    settings = ExportSettings(kind="embedder", precision="fp32", states_layers=(1, 2))
    export_model(str(weights), folder, settings)
    return folder
