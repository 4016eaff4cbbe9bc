"""How to search, kept in a TOML file: what `tune` writes and `search` reads."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ReadError, nearest
from secondpass.rerank.policies.blend import check_weights
from secondpass.retrieve.fusion import check_method
from secondpass.retrieve.retriever import MODES


@dataclass(frozen=True)
class Configuration:
    """Arguments of `Index.search` under `search`, and what was measured for them.

    Only what is set is kept in `search`; `measured` is for people and is not used. Raises
    InputError for an argument that is unknown, has a wrong value, or is for a second pass
    that `rerank` leaves out.
    """

    search: Mapping[str, Any]
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.search.items():
            if name not in _KEYS:
                raise InputError(f"there is no setting {name!r}", fix=nearest(name, _KEYS))
            why = _KEYS[name](value)
            if why is not None:
                raise InputError(f"the setting {name} cannot be {value!r}", why=why)
        idle = [name for name in SECOND_PASS if self.search.get(name, False) is not False]
        if idle and self.search.get("rerank") is False:
            raise InputError(
                f"the setting {idle[0]} is for the second pass",
                why="rerank = false leaves it out",
            )

    @classmethod
    def read(cls, path: str | Path) -> Configuration:
        """Read a file; raises InputError naming what is unknown or has a wrong value.

        The path of a calibration starts at the folder of the file. Raises ReadError for a
        file that is missing or is no TOML.
        """
        path = Path(path)
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ReadError("the file cannot be read", where=str(path), why=why) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ReadError("the file is no TOML", where=str(path), why=str(error)) from error
        strange = [name for name in tables if name not in ("search", "measured")]
        if strange:
            raise InputError(
                f"there is no table [{strange[0]}]",
                where=str(path),
                fix=nearest(strange[0], ("search", "measured")),
            )
        parts = [tables.get("search"), tables.get("measured", {})]
        if not all(isinstance(part, dict) for part in parts):
            raise InputError("there is no table [search]", where=str(path))
        try:
            found = cls(*parts)
        except InputError as error:
            raise InputError(
                error.what, where=str(path), why=error.why, fix=error.fix
            ) from None
        if "calibration" not in found.search:
            return found
        place = str(path.parent / found.search["calibration"])
        return cls({**found.search, "calibration": place}, found.measured)

    def write(self, path: str | Path, *, note: str = "") -> None:
        """Write the file, replacing one that is there; `note` becomes a comment on top."""
        path = Path(path)
        if not path.parent.is_dir():
            raise InputError("there is no such folder", where=str(path.parent))
        lines = [f"# {line}" for line in note.splitlines()]
        for title, table in (("search", self.search), ("measured", self.measured)):
            if table:
                lines += ["", f"[{title}]"] if lines else [f"[{title}]"]
                lines += [f"{name} = {_toml(value)}" for name, value in table.items()]
        half = path.with_name(f"{path.name}.part")
        half.write_text("\n".join(lines) + "\n", "utf-8")
        half.replace(path)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name} = {_toml(v)}" for name, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "nan"
    # What remains is text, whole numbers and booleans, which TOML writes as JSON does; but
    # DEL must be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _mode(value: object) -> str | None:
    return None if value in MODES else nearest(str(value), MODES)


def _count(value: object) -> str | None:
    return None if type(value) is int and value > 0 else "it must be a whole number above 0"


def _fusion(value: object) -> str | None:
    try:
        check_method(value if isinstance(value, str) else repr(value))
    except InputError as error:
        return error.fix
    return None


def _weights(value: Any) -> str | None:
    right = isinstance(value, list) and len(value) == 2 and all(map(_weight, value))
    return None if right and any(value) else "it must be two numbers from 0 up, not both 0"


def _weight(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def _rerank(value: object) -> str | None:
    right = isinstance(value, bool) or (isinstance(value, str) and value != "")
    return None if right else "it must be true, false or the name of a model"


def _blend(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if not isinstance(value, dict) or not all(map(_weight, value.values())):
        return "it must be true, false or a table of numbers from 0 up"
    try:
        check_weights(value)
    except InputError as error:
        return str(error)
    return None


def _number(value: Any) -> str | None:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return None if right and math.isfinite(value) else "it must be a finite number"


def _switch(value: object) -> str | None:
    return None if isinstance(value, bool) else "it must be true or false"


def _chance(value: Any) -> str | None:
    right = _weight(value) and value <= 1
    return None if right else "it must be a number from 0 to 1"


def _file(value: object) -> str | None:
    return None if isinstance(value, str) and value != "" else "it must be the path of a file"


SECOND_PASS = ("cascade", "calibration", "min_probability")
"""Settings that mean nothing without a second pass."""

_KEYS: Mapping[str, Callable[[Any], str | None]] = {
    "mode": _mode,
    "candidates": _count,
    "top_k": _count,
    "fusion": _fusion,
    "weights": _weights,
    "rerank": _rerank,
    "blend": _blend,
    "min_score": _number,
    "cascade": _switch,
    "calibration": _file,
    "min_probability": _chance,
}
"""What may stand under [search], and what is wrong with a value of it."""
