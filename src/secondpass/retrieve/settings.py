"""Index settings: the file `index.json` in an index folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from secondpass.errors import IndexNotFoundError, IndexStoreError
from secondpass.storage import replace_file

FORMAT = 2
FILE = "index.json"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How an index was made.

    - `language`: of stemming and stop words; see `languages`.
    - `dimension`: of the vectors; 0 means that there are none.
    - `embedder`, `embedder_digest`: the model that made the vectors.
    - `chunk_tokens`: the maximum length of a passage, None for whole documents; `overlap`:
      tokens that it shares with the one before.
    - `keep_states`: whether a reranker may store what it computes of passages here.
    - `format`: of the files; an older one can be searched, and is migrated by the first write.
    """

    language: str = "english"
    dimension: int = 0
    embedder: str | None = None
    embedder_digest: str | None = None
    chunk_tokens: int | None = 256
    overlap: int = 32
    keep_states: bool = True
    format: int = FORMAT

    @property
    def own_vectors(self) -> bool:
        """Whether callers supply the vectors, not an embedder; passages may lack one."""
        return self.embedder is None


def write_settings(folder: Path, settings: IndexSettings) -> None:
    """Write `index.json` into the folder, in one atomic step."""
    write_json(folder / FILE, asdict(settings))


def read_settings(folder: Path) -> IndexSettings:
    """Read `index.json` of a folder.

    Raises IndexNotFoundError where there is no index, IndexStoreError for a folder with other
    files, a damaged file, or an index of a newer format.
    """
    file = folder / FILE
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise _no_index(folder) from None
    except (OSError, ValueError) as error:
        raise _damaged(file, str(error)) from error
    if not isinstance(stored, dict) or not isinstance(stored.get("format"), int):
        raise _damaged(file, "it has no format number")
    if stored["format"] > FORMAT:
        raise IndexStoreError(
            "the index was made by a newer version",
            where=str(folder),
            why=f"its format is {stored['format']}, and this version reads up to {FORMAT}",
            fix="Update with: pip install -U secondpass",
        )
    known = {f.name for f in fields(IndexSettings)}
    return _parse(file, {key: value for key, value in stored.items() if key in known})


def _parse(file: Path, values: dict[str, Any]) -> IndexSettings:
    settings = IndexSettings(**values)
    expected = {
        "language": (str,),
        "dimension": (int,),
        "embedder": (str, type(None)),
        "embedder_digest": (str, type(None)),
        "chunk_tokens": (int, type(None)),
        "overlap": (int,),
        "keep_states": (bool,),
        "format": (int,),
    }
    for name, types in expected.items():
        if not isinstance(getattr(settings, name), types):
            raise _damaged(file, f"{name} is {getattr(settings, name)!r}")
    return settings


def write_json(file: Path, value: object) -> None:
    """Replace a file by JSON in one atomic step; only its owner may read it."""
    replace_file(file, json.dumps(value, indent=1), mode=0o600)


def _no_index(folder: Path) -> IndexStoreError:
    if folder.is_file():
        return IndexStoreError(
            "an index is a folder",
            where=str(folder),
            why="this is a file",
            fix="Give the folder that was created with --index.",
        )
    if folder.is_dir() and any(not p.name.startswith(".") for p in folder.iterdir()):
        return IndexStoreError(
            "the folder is not an index",
            where=str(folder),
            why=f"it has files, but no {FILE}",
            fix="Give another folder, or an empty one.",
        )
    return IndexNotFoundError(
        "there is no index",
        where=str(folder),
        fix=f"Create one with: secondpass index PATH --index {folder}",
    )


def _damaged(file: Path, why: str) -> IndexStoreError:
    return IndexStoreError(
        "the index cannot be opened",
        where=str(file),
        why=f"the file is damaged: {why}",
        fix="Index again into a new folder.",
    )
