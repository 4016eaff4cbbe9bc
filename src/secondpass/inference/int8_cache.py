"""The cache of int8 models that were made at load: keys, folders, list and deletion."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondpass._version import __version__
from secondpass.inference.model_folder import ModelFolder, sha256
from secondpass.storage import exclusive, replace_file, user_cache

OUTCOME = "outcome.json"
"""In each folder of the cache: what was made of which model, or why nothing was."""

RECIPE = 1
"""The number of the way in which models are quantized; a new one makes them anew."""

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class CachedInt8:
    """What the cache has of one model.

    - `name`: what the model was loaded by when this was made. `bytes`: of all files.
    - `refused`: None for an int8 model; else why there is none, so that it is not tried again.
    - `quality`: how int8 compares with full precision, by the names of the model card.
    """

    path: Path
    name: str
    bytes: int
    refused: str | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)


def int8_folder() -> Path:
    """Return the folder of the cache: `secondpass/int8` in $XDG_CACHE_HOME or ~/.cache."""
    return user_cache() / "int8"


def cache_key(folder: ModelFolder, pairs: Path, settings: Mapping[str, Any]) -> str:
    """Return a hash of all that the int8 model depends on.

    That is the files of the source, the calibration pairs, the settings, and the versions of
    secondpass and of its recipe.
    """
    parts = {
        "source": folder.digest,
        "config": folder.config,
        "pairs": sha256(pairs),
        "settings": settings,
        "version": __version__,
        "recipe": RECIPE,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def find_cached(key: str) -> CachedInt8 | None:
    """Return what the cache has for a key; None where there is nothing, or it is damaged."""
    return _read(int8_folder() / key)


def store_outcome(
    folder: Path, name: str, *, refused: str | None = None, quality: Mapping[str, Any]
) -> None:
    """Write into a folder of the cache what was made of the model of that name."""
    outcome = {"name": name, "refused": refused, "quality": quality}
    text = json.dumps(outcome, indent=2, ensure_ascii=False) + "\n"
    replace_file(folder / OUTCOME, text)


def list_int8() -> list[CachedInt8]:
    """Return everything in the cache, by name."""
    root = int8_folder()
    folders = sorted(root.iterdir()) if root.is_dir() else []
    found = [entry for folder in folders if (entry := _read(folder)) is not None]
    return sorted(found, key=lambda entry: (entry.name, entry.path.name))


def clear_int8(names: Iterable[str] = ()) -> list[CachedInt8]:
    """Delete what the cache has of models of these names, or everything; return what it was.

    Waits for a process that is making a model. Raises OSError where a file cannot be deleted.
    """
    if not int8_folder().is_dir():
        return []
    wanted = set(names)
    with lock_cache() as root:
        entries = [e for e in list_int8() if not wanted or e.name in wanted]
        for entry in entries:
            shutil.rmtree(entry.path)
        if not wanted:
            remove_leftovers(root)
    return entries


@contextmanager
def lock_cache() -> Iterator[Path]:
    """Hold the lock of the cache, which is created if absent; yields its folder.

    One lock for all models: two that are made at the same time need twice the memory. Raises
    OSError where the folder cannot be written.
    """
    root = int8_folder()
    root.mkdir(parents=True, exist_ok=True)
    with exclusive(root / _LOCK):
        yield root


def remove_leftovers(root: Path) -> None:
    """Delete what a process that was killed left behind; the lock must be held."""
    for path in root.iterdir():
        if path.is_dir() and (path.name.startswith(".") or _read(path) is None):
            with suppress(OSError):
                shutil.rmtree(path)


def _read(folder: Path) -> CachedInt8 | None:
    if folder.name.startswith("."):
        return None
    try:
        outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        return CachedInt8(
            folder, outcome["name"], size, outcome["refused"], dict(outcome["quality"])
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None
