from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondpass import Reranker
from secondpass.errors import InputError, ModelError
from secondpass.inference.model_folder import open_folder
from secondpass.train.export.export import ExportSettings, export_model
from secondpass.train.precomputed.initial_weights import from_folder
from secondpass.train.trainer.train import RunLocation, train
from tests.train.test_train import SMALL
from tests.train.toy_examples import toy_examples

pytest.importorskip("onnxscript")

FP32 = ExportSettings(precision="fp32")
QUERY = "who lost my ship?"


@pytest.fixture(scope="module")
def run(weights: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    settings = replace(SMALL, base=str(weights), encoder=str(encoder), matching=16)
    train(toy_examples(), settings, RunLocation(out))
    return out


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    examples = toy_examples()
    rows = [
        {"query": group.query, "text": examples.passages[place]}
        for group in examples.groups
        for place in (*group.positives, *group.negatives)
    ]
    file = tmp_path_factory.mktemp("calibration") / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reader") / "reader"
    export_model(str(run), out, FP32)
    return out


def scores(folder: Path) -> list[float]:
    response = Reranker(folder).rerank(QUERY, toy_examples().passages)
    by_place = {result.index: result.score for result in response.results}
    return [by_place[place] for place in range(len(by_place))]


def test_an_exported_reader_ranks_as_the_run_judged(run: Path, exported: Path) -> None:
    manifest = open_folder(exported).manifest
    assert manifest["architecture"] == "reader"
    assert manifest["codes"] == 16
    assert manifest["exit"] is None  # nothing to fit it on
    assert {"compress.onnx", "model.onnx"} <= set(manifest["files"])
    assert "16 int8 values a token" in (exported / "README.md").read_text(encoding="utf-8")
    assert np.std(scores(exported)) > 0


def test_int8_keeps_the_order(
    run: Path, exported: Path, calibration: Path, tmp_path: Path
) -> None:
    settings = ExportSettings(calibrate=calibration, min_overlap=0.5)
    manifest = export_model(str(run), tmp_path / "int8", settings)
    assert manifest["quality"]["batch_effect"] <= 1e-3
    assert manifest["quality"]["padding_effect"] <= 1e-3
    one, other = scores(exported), scores(tmp_path / "int8")
    assert np.corrcoef(one, other)[0, 1] > 0.95
    # What is left out never stands above what was read, and what is read keeps its score.
    assert manifest["exit"]["lists"] >= 19
    early = Reranker(tmp_path / "int8", early_exit=True)
    some = early.rerank(QUERY, toy_examples().passages, top_k=3)
    assert 3 <= some.usage.pairs <= some.usage.documents
    for result in some.results:
        assert result.score == pytest.approx(other[result.index])
    with pytest.raises(ModelError, match="top 10"):
        export_model(str(run), tmp_path / "no", replace(settings, min_overlap=1.01))
    assert not (tmp_path / "no").exists()


def test_an_exported_reader_can_be_trained_on(
    run: Path, exported: Path, tmp_path: Path
) -> None:
    assert from_folder(exported).config.matching == 16
    settings = replace(SMALL, base=str(exported), encoder=None, epochs=0.2)
    again = train(toy_examples(), settings, RunLocation(tmp_path / "again"))
    first = json.loads((run / "run.json").read_text(encoding="utf-8"))["result"]["best"]
    assert again["result"]["start"]["rr"] == pytest.approx(first["rr"], abs=0.05)


def test_a_run_that_cannot_be_exported(run: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--max-length 4"):
        export_model(str(run), tmp_path / "out", replace(FP32, max_length=4))
    settings = replace(SMALL, base=str(weights), architecture="cross-encoder", epochs=0.1)
    other = tmp_path / "other"
    description = train(toy_examples(), settings, RunLocation(other))
    (other / "best.safetensors").unlink()
    with pytest.raises(InputError, match="no weights yet"):
        export_model(str(other), tmp_path / "out", FP32)
    description["architecture"] = "gated"
    (other / "run.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(InputError, match="gated"):
        export_model(str(other), tmp_path / "out", FP32)


def test_a_cross_encoder_run_is_exported(weights: Path, tmp_path: Path) -> None:
    settings = replace(SMALL, base=str(weights), architecture="cross-encoder", epochs=0.5)
    train(toy_examples(), settings, RunLocation(tmp_path / "run"))
    manifest = export_model(str(tmp_path / "run"), tmp_path / "out", FP32)
    assert manifest["architecture"] == "cross-encoder"
    assert len(manifest["labels"]) == 1
    assert len(scores(tmp_path / "out")) == 54
