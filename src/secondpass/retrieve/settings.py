"""Index settings: the file `index.json` in an index folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from secondpass.errors import IndexNotFoundError, IndexStoreError, InputError, nearest
from secondpass.storage import replace_file

FORMAT = 2
FILE = "index.json"

States = Literal["full", "compact", "none"]
"""How a reranker stores what it computes of passages: whole, in a quarter, or not at all."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How an index was made.

    - `language`: of stemming and stop words; see `languages`.
    - `dimension`: of the vectors; 0 means that there are none.
    - `embedder`, `embedder_digest`: the model that made the vectors.
    - `chunk_tokens`: the maximum length of a passage, None for whole documents; `overlap`:
      tokens that it shares with the one before.
    - `states`: how a reranker stores what it computes of passages here; `keep_states`: whether
      it does, for versions that know no more.
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
    states: States = "full"

    @property
    def own_vectors(self) -> bool:
        """Whether callers supply the vectors, not an embedder; passages may lack one."""
        return self.embedder is None

    def with_states(self, states: States | None) -> IndexSettings:
        """Return the settings with other states; None leaves them as they are."""
        if states is None or states == self.states:
            return self
        return replace(self, states=states, keep_states=states != "none")


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
    values = {key: value for key, value in stored.items() if key in known}
    if stored.get("keep_states") is False:
        # Of a version that knows no `states`, which may have changed this later.
        values["states"] = "none"
    elif stored.get("states") == "none":
        values["states"] = "full"
    return _parse(file, values)


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
        "states": (str,),
    }
    for name, types in expected.items():
        if not isinstance(getattr(settings, name), types):
            raise _damaged(file, f"{name} is {getattr(settings, name)!r}")
    if settings.states not in get_args(States):
        raise IndexStoreError(
            "the index was made by a newer version",
            where=str(file),
            why=f"its states are {settings.states!r}, and this version knows "
            f"{', '.join(get_args(States))}",
            fix="Update with: pip install -U secondpass",
        )
    return settings


def parse_states(
    states: States | None, keep_states: bool | None, current: States | None = None
) -> States | None:
    """Return what the options `states` and `keep_states` ask for, None for neither.

    `keep_states` True keeps the `current` states of an index, full ones where it has none.
    Raises InputError for unknown states, and for two options that contradict each other.
    """
    if states is not None:
        if states not in get_args(States):
            raise InputError(
                f"states cannot be {states!r}", fix=nearest(str(states), get_args(States))
            )
        if keep_states is not None and keep_states != (states != "none"):
            raise InputError(
                f"states={states!r} and keep_states={keep_states} contradict each other",
                fix="Leave keep_states out.",
            )
        return states
    if keep_states is None:
        return None
    if not keep_states:
        return "none"
    return "full" if current in (None, "none") else current


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
