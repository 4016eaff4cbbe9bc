"""Choice of a repository's files: configuration, tokenizer and one set of weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from secondpass.errors import ModelDamagedError, ModelError, ModelNotFoundError

CONFIGURATION = (
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
VOCABULARY = (
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
"""Taken only where there is no tokenizer.json, which has all of it."""

ONNX = ("onnx/model.onnx", "model.onnx")
SAFETENSORS = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
MANIFEST = "secondpass.json"

# Weights beyond 2 GB are beside the graph: model.onnx_data, model.onnx.data, model.onnx_data_1.
_EXTERNAL_DATA = re.compile(r"model\.onnx[._]data(?:_\d+)?")
_PICKLE = re.compile(r"(?:.*/)?[^/]+\.(?:bin|pt|pth|ckpt|pkl|pickle)")
_SAFE_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)*")

Read = Callable[[str], Any]
"""Returns the parsed content of one of the repository's JSON files."""


def choose_files(repository: str, names: Collection[str], read: Read) -> list[str]:
    """Return the names of the files that a model needs, of all in its repository, sorted.

    They are configuration and tokenizer, those of the module folders that modules.json names,
    and one set of weights: the ONNX graph if there is one, else the safetensors, whole or in
    shards. A folder of `secondpass export` is what its manifest lists. Names that could leave a
    folder are not considered. Raises `ModelNotFoundError` where there are no such weights,
    `ModelError` where the model needs code of the repository or has weights in pickles only,
    `ModelDamagedError` where a file names another one that is not there.
    """
    present = {name for name in names if is_safe_name(name)}
    if MANIFEST in present:
        return sorted(_exported_files(repository, present, read))
    if "config.json" not in present and "modules.json" not in present:
        adapter = "adapter_config.json" in present
        raise ModelNotFoundError(
            f"{repository!r} is not a model that can be loaded",
            why="it is an adapter of another model" if adapter else "it has no config.json",
            fix="Merge it into its base model (merge_and_unload of peft) and give the folder's "
            "path."
            if adapter
            else "Check the spelling; models are listed at https://huggingface.co/models.",
        )
    weights = choose_weights(present, read)
    modules = _modules(repository, present, read)
    if not weights and not any(name.endswith(SAFETENSORS) for name in modules):
        raise _no_weights(repository, present)
    if not any(name in ONNX for name in weights):
        _refuse_code(repository, present, read)
    chosen = {*weights, *modules, *_small_files("", present)}
    return sorted(chosen)


def choose_weights(names: Collection[str], read: Read) -> list[str]:
    """Return the files of one set of weights, empty if there is none; see `choose_files`."""
    for graph in ONNX:
        if graph in names:
            folder = graph.rpartition("/")[0]
            return [
                graph,
                *(
                    name
                    for name in names
                    if name.rpartition("/")[0] == folder
                    and _EXTERNAL_DATA.fullmatch(name.rpartition("/")[2])
                ),
            ]
    return _safetensors("", names, read)


def is_safe_name(name: str) -> bool:
    """Return whether a name is a relative path of plain parts, that stays in its folder."""
    return bool(_SAFE_NAME.fullmatch(name)) and all(part.strip(".") for part in name.split("/"))


def _small_files(prefix: str, names: Collection[str]) -> list[str]:
    wanted = [*CONFIGURATION, *TOKENIZER]
    if f"{prefix}tokenizer.json" not in names:
        wanted += VOCABULARY
    return [f"{prefix}{name}" for name in wanted if f"{prefix}{name}" in names]


def _safetensors(prefix: str, names: Collection[str], read: Read) -> list[str]:
    if f"{prefix}{SAFETENSORS}" in names:
        return [f"{prefix}{SAFETENSORS}"]
    index = f"{prefix}{SHARD_INDEX}"
    if index not in names:
        return []
    content = read(index)
    shards = content.get("weight_map") if isinstance(content, Mapping) else None
    if not isinstance(shards, Mapping) or not shards:
        raise ModelDamagedError(f"{index} names no shards", where="weight_map")
    files = sorted({f"{prefix}{shard}" for shard in shards.values()})
    absent = [name for name in files if name not in names]
    if absent:
        raise ModelDamagedError(
            f"{index} names a file that is not in the repository",
            where=absent[0],
            fix="Tell the model's authors, or use another revision.",
        )
    return [index, *files]


def _modules(repository: str, names: Collection[str], read: Read) -> list[str]:
    """Return the files of the module folders of sentence-transformers."""
    if "modules.json" not in names:
        return []
    modules = read("modules.json")
    if not isinstance(modules, list) or not all(isinstance(m, Mapping) for m in modules):
        raise ModelDamagedError("modules.json is not a list of modules", where=repository)
    chosen = []
    for module in modules:
        path = str(module.get("path", "")).strip("/")
        if not path:
            continue
        prefix = f"{path}/"
        inside = [name for name in names if name.startswith(prefix)]
        weights = _safetensors(prefix, inside, read)
        pickles = [name for name in inside if _PICKLE.fullmatch(name)]
        if pickles and not weights:
            raise _no_weights(repository, pickles)
        chosen += [*weights, *_small_files(prefix, inside)]
    return chosen


def _exported_files(
    repository: str, names: Collection[str], read: Read, prefix: str = ""
) -> list[str]:
    """Return the files that the manifest of `secondpass export` lists, also of its encoder."""
    manifest = read(f"{prefix}{MANIFEST}")
    files = manifest.get("files") if isinstance(manifest, Mapping) else None
    if not isinstance(files, Mapping) or not files:
        raise ModelDamagedError(f"{prefix}{MANIFEST} lists no files", where=repository)
    chosen = [f"{prefix}{MANIFEST}", *(f"{prefix}{name}" for name in files)]
    chosen += [name for name in _small_files(prefix, names) if name not in chosen]
    absent = [name for name in chosen if name not in names]
    if absent:
        raise ModelDamagedError(
            f"{prefix}{MANIFEST} names a file that is not in the repository",
            where=f"{absent[0]} of {repository}",
            fix="Tell the model's authors, or use another revision.",
        )
    encoder = manifest.get("encoder")
    folder = encoder.get("folder") if isinstance(encoder, Mapping) else None
    if folder is not None and not prefix:
        chosen += _exported_files(repository, names, read, f"{folder}/")
    return chosen


def _no_weights(repository: str, names: Collection[str]) -> ModelNotFoundError:
    pickles = sorted(name for name in names if _PICKLE.fullmatch(name))
    why = None
    if pickles:
        why = f"its weights are pickles ({pickles[0]}), which can run code when they are read"
    return ModelNotFoundError(
        f"{repository!r} has neither an ONNX graph nor safetensors",
        why=why,
        fix="Look on the model's page for a pull request with safetensors, and name it: "
        f"{repository}@refs/pr/NUMBER. Or, where you trust its files, convert it with "
        "transformers (from_pretrained, then save_pretrained) and give the folder's path.",
    )


def _refuse_code(repository: str, names: Collection[str], read: Read) -> None:
    """Raise `ModelError` for a model that only code of the repository can run."""
    asking = [
        name
        for name in ("config.json", "tokenizer_config.json")
        if name in names
        # A tokenizer.json is read without the code.
        and not (name == "tokenizer_config.json" and "tokenizer.json" in names)
        and _asks_for_code(read(name))
    ]
    if "modules.json" in names:
        types = [str(module.get("type", "")) for module in read("modules.json")]
        asking += [
            f"{kind} in modules.json"
            for kind in types
            if "--" in kind or f"{kind.split('.')[0]}.py" in names
        ]
    if asking:
        raise ModelError(
            f"{repository!r} needs code of its repository",
            where=asking[0],
            why="such code is never run, and there is no ONNX graph, which would need none",
            fix="Use a model without auto_map in config.json; or, where you trust the code, "
            f"run: optimum-cli export onnx --model {repository} --trust-remote-code FOLDER, "
            "and give the folder's path.",
        )


def _asks_for_code(config: Any) -> bool:
    return isinstance(config, Mapping) and bool(config.get("auto_map"))
