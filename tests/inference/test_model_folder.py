from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from secondpass.errors import ModelDamagedError, ModelError, ModelNotFoundError
from secondpass.inference.model_folder import open_folder


def write(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "tokenizer.json").write_text("{}")
    files = {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "bytes": (folder / name).stat().st_size,
        }
        for name in ("model.onnx", "tokenizer.json")
    }
    manifest = {"format": 1, "architecture": "embedder", "files": files, **changes}
    (folder / "secondpass.json").write_text(json.dumps(manifest))
    return folder


def test_a_whole_folder_opens(tmp_path: Path) -> None:
    folder = open_folder(write(tmp_path / "m"))
    assert folder.architecture == "embedder"
    assert folder.onnx == tmp_path / "m" / "model.onnx"
    assert len(folder.digest) == 64


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    (path / "model.onnx").write_bytes(b"grapf")
    with pytest.raises(ModelDamagedError, match=r"model\.onnx is damaged.*recorded is"):
        open_folder(path)


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    (path / "tokenizer.json").unlink()
    with pytest.raises(ModelDamagedError, match=r"tokenizer\.json is missing"):
        open_folder(path)


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_broken_manifest_is_found(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "m")
    (path / "secondpass.json").write_text(text)
    with pytest.raises(ModelDamagedError, match=r"secondpass\.json"):
        open_folder(path)


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--upgrade"):
        open_folder(write(tmp_path / "m", format=99))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model folder"):
        open_folder(tmp_path / "absent")
    with pytest.raises(ModelNotFoundError, match="neither"):
        open_folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json"):
        open_folder(tmp_path)


def test_the_digest_follows_the_weights_without_a_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "m")
    (path / "secondpass.json").unlink()
    before = open_folder(path).digest
    (path / "model.onnx").write_bytes(b"other")
    assert open_folder(path).digest != before


def test_the_digest_covers_weights_in_several_files(tmp_path: Path) -> None:
    def digest(files: dict[str, str]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in {**files, "tokenizer.json": "{}"}.items():
            (folder / name).write_text(text)
        return open_folder(folder).digest

    graph = {"model.onnx": "graph"}
    index = {"model.safetensors.index.json": "{}"}
    shard = "model-00001-of-00001.safetensors"
    folders = [graph]
    folders += [{**graph, "model.onnx_data": text} for text in "ab"]
    folders += [{**index, shard: text} for text in "ab"]
    seen = [digest(files) for files in folders]
    assert len(set(seen)) == 5
    assert digest(graph) == seen[0]
