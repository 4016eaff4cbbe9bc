from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import InputError, MissingExtraError, ModelError, Reranker
from secondpass.inference import precision
from secondpass.inference.int8_cache import (
    OUTCOME,
    cache_key,
    clear_int8,
    find_cached,
    int8_folder,
    list_int8,
    store_outcome,
)
from secondpass.inference.model_folder import open_folder
from secondpass.inference.precision import choose_precision, stored_precision
from secondpass.inference.runtimes import load_runtime
from secondpass.models import bundled_path, calibration_pairs
from tests.tiny_models import tiny_cross_encoder, tiny_late_interaction

pytest.importorskip("onnxscript")

SIZES = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}
WORDS = ("blue", "bread", "river", "sea", "ship", "sky")
TEXTS = [f"the {word} and a {other}" for word in WORDS for other in WORDS]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [{"query": f"where is the {word}", "text": text} for word in WORDS for text in TEXTS]
    file.write_text("\n".join(json.dumps(row) for row in rows[::5]), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "tiny"
    tiny_cross_encoder(folder, **SIZES)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, source: Path, pairs: Path) -> Path:
    """A cache folder that two processes at once have filled with the int8 model of `source`."""
    folder = tmp_path_factory.mktemp("cache")
    code = (
        "import sys\nfrom secondpass import Reranker\n"
        "from secondpass.inference import precision\n"
        "precision.MIN_OVERLAP = 0.0\n"
        "r = Reranker(sys.argv[1], precision='int8', calibration_pairs=sys.argv[2])\n"
        "print(r.precision, r.identity)"
    )
    command = [sys.executable, "-c", code, str(source), str(pairs)]
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    running = [
        subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert outputs[0][0].startswith("int8 ")
    return folder


@pytest.fixture
def cached(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache with the int8 model in it; nothing may be made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr(precision, "MIN_OVERLAP", 0.0)
    monkeypatch.setattr(precision, "_make", _must_not_be_made)
    return home


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _must_not_be_made(*_: object) -> None:
    raise AssertionError("an int8 model was made")


def test_int8_is_made_once_and_ranks_like_the_original(
    cached: Path, source: Path, pairs: Path
) -> None:
    loaded = Reranker(source, precision="int8", calibration_pairs=pairs)
    assert loaded.precision == "int8"
    assert "of the top 10 of full precision" in loaded.precision_reason
    assert "logit error" in loaded.precision_reason
    assert loaded.max_length == Reranker(source).max_length
    assert loaded.identity != Reranker(source).identity
    (entry,) = list_int8()
    assert entry.name == str(source)
    assert entry.refused is None
    assert stored_precision(open_folder(entry.path)) == "int8"
    assert sorted(p.name for p in int8_folder().iterdir()) == [".lock", entry.path.name]
    # Random weights: their logits are near each other, and errors are large beside them.
    before, after = (_scores(reranker) for reranker in (Reranker(source), loaded))
    assert np.corrcoef(before, after)[0, 1] > 0.7


def _scores(reranker: Reranker) -> list[float]:
    results = reranker.rerank("the sky", TEXTS).results
    return [result.score for result in sorted(results, key=_index)]


def _index(result: Any) -> int:
    return int(result.index)


def test_auto_uses_it_too_and_says_so(
    cached: Path, source: Path, pairs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "secondpass"):
        loaded = Reranker(source, precision="auto", calibration_pairs=pairs)
    assert loaded.precision == "int8"
    assert f"{source} is loaded in int8: keeps" in caplog.text


def test_nothing_is_made_unless_it_is_asked_for(
    empty: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_make", _must_not_be_made)
    for chosen in (None, "fp32"):
        assert Reranker(source, precision=chosen).precision == "fp32"
    assert not empty.exists()


def test_a_damaged_int8_model_is_made_again(
    home: Path, source: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home, tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "MIN_OVERLAP", 0.0)
    (entry,) = list_int8()
    graph = entry.path / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    made: list[Path] = []

    def copy_again(*args: Any) -> None:
        shutil.copytree(home / "secondpass" / "int8" / entry.path.name, args[3])
        made.append(args[3])

    monkeypatch.setattr(precision, "_make", copy_again)
    assert Reranker(source, precision="int8", calibration_pairs=pairs).precision == "int8"
    assert made == [entry.path]


def test_a_refusal_is_kept_and_auto_falls_back(
    empty: Path, source: Path, pairs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = open_folder(source)
    window = precision._window(folder)
    key = cache_key(folder, pairs, {"max_length": window, "min_overlap": precision.MIN_OVERLAP})
    kept = int8_folder() / key
    kept.mkdir(parents=True)
    store_outcome(kept, "tiny", refused="it keeps 0.500 of the top 10", quality={})
    with pytest.raises(ModelError, match=r"keeps 0\.500.*secondpass models clear"):
        Reranker(source, precision="int8", calibration_pairs=pairs)
    loaded = Reranker(source, precision="auto", calibration_pairs=pairs)
    assert loaded.precision == "fp32"
    assert "keeps 0.500" in loaded.precision_reason
    assert "is loaded in full precision" in caplog.text


def test_an_onnx_graph_with_large_weights_is_quantized_without_tracing_it(
    source: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondpass.train.export import onnx_graph
    from secondpass.train.export.export import ExportSettings, export_model, write_model

    monkeypatch.setattr(onnx_graph, "INLINE_BYTES", 1 << 10)
    export_model(str(source), tmp_path / "fp32", ExportSettings(precision="fp32"))
    (tmp_path / "fp32" / "secondpass.json").unlink()
    folder = open_folder(tmp_path / "fp32")
    assert stored_precision(folder) == "fp32"
    settings = ExportSettings(calibrate=pairs, min_overlap=0.0, max_length=40, at_load=True)
    (tmp_path / "int8").mkdir()
    manifest = write_model(
        folder.path, tmp_path / "int8", "tiny", settings, lambda *_: None, folder.onnx
    )
    assert "model.onnx.data" in manifest["files"]
    assert manifest["labels"] == ["LABEL_0"]
    assert manifest["max_length"] == 40
    assert manifest["quality"]["questions"] == 2
    (tmp_path / "int8" / "secondpass.json").unlink()
    int8 = open_folder(tmp_path / "int8")
    assert stored_precision(int8) == "int8"
    assert load_runtime(int8).inputs == load_runtime(folder).inputs
    assert _scores(Reranker(int8.path))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"precision": "int4"}, "precision cannot be 'int4'"),
        ({"calibration_pairs": "pairs.jsonl"}, "calibration_pairs is for"),
        ({"precision": "auto", "calibration_pairs": "absent.jsonl"}, "no such file"),
    ],
)
def test_values_that_cannot_be(source: Path, values: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        choose_precision(open_folder(source), "tiny", **values)


def test_models_that_are_int8_already_and_others(tmp_path: Path, empty: Path) -> None:
    assert Reranker("bundled", precision="int8").precision == "int8"
    with pytest.raises(ModelError, match="8-bit integers"):
        Reranker("bundled", precision="fp32")
    with pytest.raises(InputError, match="precision is for models that run here"):
        Reranker("cohere/rerank-v3.5", precision="int8", api_key="k")
    tiny_late_interaction(tmp_path / "late")
    folder = open_folder(tmp_path / "late")
    with pytest.raises(ModelError, match="made of cross-encoders"):
        choose_precision(folder, "late", "int8")
    assert "cross-encoders" in choose_precision(folder, "late", "auto").reason
    (folder.path / "modules.json").write_text('[{"idx": 0}, {"idx": 1}]')
    cross_encoder = replace(folder, manifest={})
    with pytest.raises(ModelError, match="several modules"):
        choose_precision(cross_encoder, "modules", "int8")
    assert choose_precision(open_folder(bundled_path("bundled")), "bundled").precision == "int8"
    assert not empty.exists()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"error": {"package": "torch", "extra": "export"}}, MissingExtraError),
        (
            {"error": {"input": True, "what": "bad pairs", "where": 0, "why": 0, "fix": 0}},
            InputError,
        ),
        (
            {"error": {"input": False, "what": "no trace", "where": 0, "why": 0, "fix": 0}},
            ModelError,
        ),
    ],
)
def test_errors_of_the_process_have_their_class(
    reply: dict[str, Any], error: type[Exception]
) -> None:
    assert type(precision._decode_error(reply["error"])) is error


def test_a_process_that_dies_is_an_error_with_its_last_line(
    empty: Path, source: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_WORKER", "secondpass.no_such_module")
    with pytest.raises(ModelError, match=r"exit status 1, .*No module named"):
        Reranker(source, precision="int8", calibration_pairs=pairs)
    assert Reranker(source, precision="auto", calibration_pairs=pairs).precision == "fp32"
    assert list_int8() == []


def test_the_key_follows_everything_that_the_result_depends_on(
    source: Path, pairs: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(source, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.1}))
    keys = [
        cache_key(open_folder(source), pairs, {"max_length": 64}),
        cache_key(open_folder(source), calibration_pairs(), {"max_length": 64}),
        cache_key(open_folder(source), pairs, {"max_length": 32}),
        cache_key(open_folder(other), pairs, {"max_length": 64}),
    ]
    assert len(set(keys)) == len(keys)
    assert cache_key(open_folder(source), pairs, {"max_length": 64}) == keys[0]


def test_clearing_deletes_what_is_named_or_all(empty: Path) -> None:
    assert clear_int8() == []
    for name in ("a", "b"):
        (int8_folder() / f"key-{name}").mkdir(parents=True)
        store_outcome(int8_folder() / f"key-{name}", name, quality={})
    (int8_folder() / ".key-c.tmp").mkdir()
    assert [entry.name for entry in clear_int8(["b"])] == ["b"]
    assert [entry.name for entry in list_int8()] == ["a"]
    clear_int8()
    assert [path.name for path in int8_folder().iterdir()] == [".lock"]


@given(st.binary(max_size=40) | st.sampled_from([b"{}", b"[]", b'{"name": 1}', b"null"]))
def test_an_outcome_that_cannot_be_read_is_none(content: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        (int8_folder() / "key").mkdir(parents=True)
        (int8_folder() / "key" / OUTCOME).write_bytes(content)
        assert find_cached("key") is None
        assert list_int8() == []
