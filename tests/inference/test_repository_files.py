from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import ModelDamagedError, ModelError, ModelNotFoundError
from secondpass.inference.repository_files import choose_files, is_safe_name

CONFIG: dict[str, Any] = {"config.json": {"model_type": "bert"}}


def choose(names: list[str], **files: Any) -> list[str]:
    """Choose among names, of which those of JSON files have the content given or none."""
    content = {name.replace("_json", ".json"): value for name, value in files.items()}
    return choose_files("a/b", names, lambda name: content.get(name, {}))


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (["model.safetensors"], ["model.safetensors"]),
        (["model.safetensors", "onnx/model.onnx"], ["onnx/model.onnx"]),
        (["model.onnx", "pytorch_model.bin"], ["model.onnx"]),
        (
            ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_int8.onnx"],
            ["onnx/model.onnx", "onnx/model.onnx_data"],
        ),
        (["model.onnx", "model.onnx.data", "onnx/x"], ["model.onnx", "model.onnx.data"]),
    ],
)
def test_one_set_of_weights(names: list[str], weights: list[str]) -> None:
    assert choose([*names, "config.json", "README.md", "model.py"]) == ["config.json", *weights]


def test_shards() -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    names = ["config.json", "model.safetensors.index.json", "model-1.safetensors"]
    chosen = choose_files("a/b", [*names, "model-2.safetensors"], lambda _: index)
    assert chosen == sorted([*names, "model-2.safetensors"])
    with pytest.raises(ModelDamagedError, match=r"model-2\.safetensors"):
        choose_files("a/b", names, lambda _: index)
    outside = {"weight_map": {"a": "../../model-1.safetensors"}}
    with pytest.raises(ModelDamagedError, match=r"\.\./\.\./model"):
        choose_files("a/b", [*names, "../../model-1.safetensors"], lambda _: outside)
    for nothing in ({}, {"weight_map": {}}, []):
        with pytest.raises(ModelDamagedError, match="names no shards"):
            choose_files("a/b", names, lambda _, value=nothing: value)


def test_the_tokenizer_and_vocabularies_where_it_is_not_there() -> None:
    small = ["special_tokens_map.json", "tokenizer_config.json", "chat_template.jinja"]
    names = ["config.json", "model.safetensors", "vocab.txt", "spiece.model", *small]
    assert choose(names) == sorted(names)
    names.append("tokenizer.json")
    assert choose(names) == sorted(set(names) - {"vocab.txt", "spiece.model"})


def test_modules_of_sentence_transformers() -> None:
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    names = [
        *("config.json", "model.safetensors", "modules.json", "sentence_bert_config.json"),
        *("1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"),
        "config_sentence_transformers.json",
    ]
    others = ["2_Dense/pytorch_model.bin", "3_Other/config.json", "2_Dense/dense.py"]
    assert choose([*names, *others], modules_json=modules) == sorted(names)
    pickled = [name for name in names if name != "2_Dense/model.safetensors"]
    with pytest.raises(ModelNotFoundError, match=r"2_Dense/pytorch_model\.bin"):
        choose([*pickled, *others], modules_json=modules)


def test_a_folder_of_export_is_what_its_manifests_list() -> None:
    encoder = ["config.json", "model.onnx", "tokenizer.json"]
    manifest = {"files": {"model.onnx": {}}, "encoder": {"folder": "encoder"}}
    names = ["secondpass.json", "model.onnx", "encoder/secondpass.json"]
    names += [f"encoder/{name}" for name in encoder]
    content: dict[str, Any] = {
        "secondpass.json": manifest,
        "encoder/secondpass.json": {"files": {name: {} for name in encoder}},
    }
    chosen = choose_files("a/b", [*names, "model.safetensors"], content.__getitem__)
    assert chosen == sorted(names)
    content["secondpass.json"] = {"files": {"../x": {}}}
    with pytest.raises(ModelDamagedError, match=r"\.\./x"):
        choose_files("a/b", [*names, "../x"], content.__getitem__)


def test_models_that_need_code_are_refused_unless_there_is_a_graph() -> None:
    code: dict[str, Any] = {"auto_map": {"AutoModel": "other/repository--modeling.Model"}}
    names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    with pytest.raises(ModelError, match=r"needs code .*config\.json"):
        choose(names, config_json=code)
    assert choose(names, tokenizer_config_json=code) == sorted(names)
    with pytest.raises(ModelError, match=r"tokenizer_config\.json"):
        choose([n for n in names if n != "tokenizer.json"], tokenizer_config_json=code)
    assert "model.onnx" in choose([*names, "model.onnx"], config_json=code)
    own = [{"path": "", "type": "own.Transformer"}]
    modules = [*names, "modules.json", "own.py"]
    with pytest.raises(ModelError, match=r"own\.Transformer in modules\.json"):
        choose(modules, modules_json=own)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["config.json", "pytorch_model.bin"], r"pickles \(pytorch_model.bin\)"),
        (["config.json", "rust_model.ot"], "neither an ONNX graph nor safetensors"),
        (["README.md", "model.gguf"], "it has no config.json"),
        (["adapter_config.json", "adapter_model.safetensors"], "adapter of another model"),
        ([], "it has no config.json"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_the_reason(
    names: list[str], reason: str
) -> None:
    with pytest.raises(ModelNotFoundError, match=reason):
        choose(names)


@given(st.lists(st.text(alphabet="a./\\-_\n \x00", max_size=12)), st.text(max_size=12))
def test_no_name_leaves_its_folder(names: list[str], shard: str) -> None:
    for name in names:
        if is_safe_name(name):
            assert not name.startswith("/")
            assert not {"", ".", ".."} & set(name.split("/"))
    index = {"weight_map": {"weight": shard}}
    fixed = ["config.json", "model.safetensors.index.json"]
    try:
        chosen = choose_files("a/b", [*names, shard, *fixed], lambda _: index)
    except ModelError:
        return
    assert all(is_safe_name(name) for name in chosen)
