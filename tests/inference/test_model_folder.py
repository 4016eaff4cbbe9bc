from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import ModelDamagedError, ModelError, ModelNotFoundError
from secondpass.inference.model_folder import SHARD_INDEX, open_folder


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


def safetensors(**tensors: str) -> str:
    """A safetensors file with tensors of bytes."""
    places, start = {}, 0
    for name, data in tensors.items():
        offsets = [start, start + len(data)]
        places[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": offsets}
        start += len(data)
    header = json.dumps(places)
    return (
        len(header).to_bytes(8, "little").decode("ascii") + header + "".join(tensors.values())
    )


SHARDS = {
    "model-00001-of-00002.safetensors": safetensors(a="12", b="3456"),
    "model-00002-of-00002.safetensors": safetensors(c="789"),
}
WEIGHT_MAP = {"a": sorted(SHARDS)[0], "b": sorted(SHARDS)[0], "c": sorted(SHARDS)[1]}


def write_shards(folder: Path) -> Path:
    folder.mkdir()
    for name, text in {**SHARDS, "tokenizer.json": "{}"}.items():
        (folder / name).write_text(text)
    (folder / SHARD_INDEX).write_text(json.dumps({"weight_map": WEIGHT_MAP}))
    return folder


def test_shards_open(tmp_path: Path) -> None:
    folder = open_folder(write_shards(tmp_path / "m"))
    assert folder.safetensors == tmp_path / "m" / SHARD_INDEX


@pytest.mark.parametrize("name", SHARDS)
def test_a_missing_shard_is_named(tmp_path: Path, name: str) -> None:
    (write_shards(tmp_path / "m") / name).unlink()
    with pytest.raises(ModelDamagedError, match=f"{name} is missing"):
        open_folder(tmp_path / "m")


@given(st.sampled_from(sorted(SHARDS)), st.data())
def test_a_shard_that_is_cut_off_anywhere_is_named(name: str, data: st.DataObject) -> None:
    with TemporaryDirectory() as temporary:
        folder = write_shards(Path(temporary) / "m")
        end = data.draw(st.integers(0, len(SHARDS[name]) - 1))
        (folder / name).write_text(SHARDS[name][:end])
        with pytest.raises(ModelDamagedError, match=f"{name} is damaged"):
            open_folder(folder)


@given(st.binary(max_size=64))
def test_weights_of_any_bytes_are_read_or_named(data: bytes) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "tokenizer.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(data)
        with suppress(ModelDamagedError):
            open_folder(folder)


def test_a_shard_without_a_tensor_that_the_index_lists_is_named(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "m")
    weight_map = {**WEIGHT_MAP, "d": WEIGHT_MAP["c"]}
    (folder / SHARD_INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelDamagedError, match=r"00002.*it lacks d"):
        open_folder(folder)


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ({}, "no weight_map"),
        ({"weight_map": []}, "no weight_map"),
        ({"weight_map": {"a": "../x.safetensors"}}, "outside"),
        ({"weight_map": {"a": 3}}, "outside"),
    ],
)
def test_an_index_that_cannot_be_used(tmp_path: Path, index: object, problem: str) -> None:
    folder = write_shards(tmp_path / "m")
    (folder / SHARD_INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelDamagedError, match=problem):
        open_folder(folder)


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
    index = {SHARD_INDEX: json.dumps({"weight_map": {"x": "weights-1.safetensors"}})}
    folders = [graph]
    folders += [{**graph, "model.onnx_data": text} for text in "ab"]
    folders += [{**index, "weights-1.safetensors": safetensors(x=text)} for text in "ab"]
    seen = [digest(files) for files in folders]
    assert len(set(seen)) == 5
    assert digest(graph) == seen[0]
