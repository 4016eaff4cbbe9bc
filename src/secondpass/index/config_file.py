"""Search configuration in a TOML file: `secondpass tune` writes it, `search` reads it."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ReadError, nearest
from secondpass.index.storage.objects import parse_place
from secondpass.option_types import check_second_pass, offered
from secondpass.options import SearchOptions
from secondpass.storage import replace_file

_TABLES = ("source", "storage", "search", "measured")
_SOURCES = ("index", "over")


@dataclass(frozen=True)
class Configuration:
    """Arguments of a search under `search`, and their measurements under `measured`.

    `search` has only the arguments that are set; `measured` is information for people and is
    not used. `source` says what is searched: `index`, a folder or a URL of object storage, or
    `over`, the URL of a database; it may be empty. `storage` is the `storage_options` of an
    index in object storage: texts, numbers and booleans by the names of its settings. Raises
    InputError for an argument that is unknown, has an invalid value, or needs a reranker
    although `rerank` is False.
    """

    search: Mapping[str, Any]
    measured: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    storage: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_source(self.source)
        _check_storage(self.storage)
        known = offered(SearchOptions, "config")
        for name, value in self.search.items():
            if name not in known:
                raise InputError(f"there is no setting {name!r}", fix=nearest(name, known))
            why = known[name].problem(value)
            if why is not None:
                raise InputError(f"the setting {name} cannot be {value!r}", why=why)
        if self.search.get("rerank") is False:
            check_second_pass(SearchOptions, self.search, why="rerank = false leaves it out")

    @classmethod
    def read(cls, path: str | Path) -> Configuration:
        """Read a file.

        Relative paths of calibrations and of the index are resolved against the folder of the
        file. Raises InputError for a table or setting that is unknown or has an invalid value,
        ReadError for a file that is missing or not valid TOML.
        """
        path = Path(path)
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ReadError("the file cannot be read", where=str(path), why=why) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ReadError(
                "the file is not valid TOML", where=str(path), why=str(error)
            ) from error
        unknown = [name for name in tables if name not in _TABLES]
        if unknown:
            raise InputError(
                f"there is no table [{unknown[0]}]",
                where=str(path),
                fix=nearest(unknown[0], _TABLES),
            )
        search = tables.get("search", {} if "source" in tables or "storage" in tables else None)
        rest = [tables.get(name, {}) for name in ("measured", "source", "storage")]
        parts = [search, *rest]
        if not all(isinstance(part, dict) for part in parts):
            raise InputError("there is no table [search]", where=str(path))
        try:
            configuration = cls(*parts)
        except InputError as error:
            raise InputError(
                error.what, where=str(path), why=error.why, fix=error.fix
            ) from None
        search = dict(configuration.search)
        for name in ("calibration", "calibration_pairs"):
            if name in search:
                search[name] = str(path.parent / search[name])
        source = dict(configuration.source)
        if "index" in source:
            place = parse_place(source["index"])
            source["index"] = place if isinstance(place, str) else str(path.parent / place)
        return cls(search, configuration.measured, source, configuration.storage)

    def write(self, path: str | Path, *, note: str = "") -> None:
        """Write the file, replacing an existing one; `note` becomes a comment on top."""
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError("there is no such folder", where=str(path.parent))
        lines = [f"# {line}" for line in note.splitlines()]
        for title, table in zip(
            _TABLES,
            (self.source, self.storage, self.search, self.measured),
            strict=True,
        ):
            if table:
                lines += ["", f"[{title}]"] if lines else [f"[{title}]"]
                lines += [f"{name} = {_toml(value)}" for name, value in table.items()]
        replace_file(path, "\n".join(lines) + "\n")


def _check_source(source: Mapping[str, Any]) -> None:
    for name, value in source.items():
        if name not in _SOURCES:
            raise InputError(f"a source has no {name!r}", fix=nearest(name, _SOURCES))
        if not isinstance(value, str) or not value:
            raise InputError(f"the source's {name} cannot be {value!r}", why="it must be text")
    if len(source) > 1:
        raise InputError(
            "a source is an index or a database, not both", fix="Leave index or over out."
        )


def _check_storage(storage: Mapping[str, Any]) -> None:
    for name, value in storage.items():
        # The value may be a secret.
        if not isinstance(value, str | int | float | bool):
            raise InputError(
                f"the setting {name} of the storage cannot be a {type(value).__name__}",
                fix="Write a text, a number, true or false.",
            )


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name} = {_toml(v)}" for name, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "nan"
    # Strings, integers and booleans are written as in JSON, except that TOML requires DEL to
    # be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
