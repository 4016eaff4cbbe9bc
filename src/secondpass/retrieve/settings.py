"""The small file beside an index that says how it was made."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from secondpass.errors import IndexNotFoundError, IndexStoreError

FORMAT = 1
FILE = "index.json"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How an index was made.

    - `language`: of the stemming; see `stopwords`.
    - `dimension`: of the vectors; 0 means that there are none.
    - `embedder`, `embedder_digest`: the model that made the vectors.
    - `chunk_tokens`: how long a passage may be, None for whole documents; `overlap`: how
      many tokens it shares with the one before.
    - `keep_states`: whether a reranker may keep what it computes of passages here.
    """

    language: str = "english"
    dimension: int = 0
    embedder: str | None = None
    embedder_digest: str | None = None
    chunk_tokens: int | None = 256
    overlap: int = 32
    keep_states: bool = True

    @property
    def own_vectors(self) -> bool:
        """Whether no embedder makes the vectors: passages bring them, or lack them."""
        return self.embedder is None


def write_settings(folder: Path, settings: IndexSettings) -> None:
    """Write `index.json` into the folder; a reader sees the old file or the new one."""
    write_json(folder / FILE, {"format": FORMAT, **asdict(settings)})


def read_settings(folder: Path) -> IndexSettings:
    """Read `index.json` of a folder.

    Raises IndexNotFoundError where there is no index, IndexStoreError where there is
    something else, a damaged file, or an index of a newer format.
    """
    file = folder / FILE
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise _nothing(folder) from None
    except (OSError, ValueError) as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(stored, dict) or not isinstance(stored.get("format"), int):
        raise _damaged(file, "it does not name its format")
    if stored["format"] > FORMAT:
        raise IndexStoreError(
            "the index was made by a newer version",
            where=str(folder),
            why=f"its format is {stored['format']}, and this version reads up to {FORMAT}",
            fix="Update with: pip install -U secondpass",
        )
    known = {f.name for f in fields(IndexSettings)}
    return _built(file, {key: value for key, value in stored.items() if key in known})


def _built(file: Path, values: dict[str, Any]) -> IndexSettings:
    settings = IndexSettings(**values)
    expected = {
        "language": (str,),
        "dimension": (int,),
        "embedder": (str, type(None)),
        "embedder_digest": (str, type(None)),
        "chunk_tokens": (int, type(None)),
        "overlap": (int,),
        "keep_states": (bool,),
    }
    for name, types in expected.items():
        if not isinstance(getattr(settings, name), types):
            raise _damaged(file, f"{name} is {getattr(settings, name)!r}")
    return settings


def write_json(file: Path, value: object) -> None:
    """Replace a file by JSON in one step, so that a crash leaves the old one."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(value, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _nothing(folder: Path) -> IndexStoreError:
    if folder.is_file():
        return IndexStoreError(
            "an index is a folder",
            where=str(folder),
            why="this is a file",
            fix="Give the folder that --index named when it was made.",
        )
    if folder.is_dir() and any(not p.name.startswith(".") for p in folder.iterdir()):
        return IndexStoreError(
            "the folder holds something else than an index",
            where=str(folder),
            why=f"it has files, but no {FILE}",
            fix="Give another folder, or an empty one.",
        )
    return IndexNotFoundError(
        "there is no index",
        where=str(folder),
        fix=f"Make one with: secondpass index PATH --index {folder}",
    )


def _damaged(file: Path, why: str) -> IndexStoreError:
    return IndexStoreError(
        "the index cannot be opened",
        where=str(file),
        why=f"the file is damaged: {why}",
        fix="Index again into a new folder.",
    )
