"""Metadata as JSON that comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from secondpass.errors import InputError

_TAG = "$sp"


def encode(metadata: Mapping[str, Any], *, document: str = "") -> str:
    """Return metadata as JSON; dates, times and tuples come back as what they were.

    Raises InputError for a value that JSON cannot hold, naming its field.
    """
    packed = {}
    for key, value in metadata.items():
        if not isinstance(key, str):
            raise InputError(
                "a metadata key is not text", where=_place(document), why=f"it is {key!r}"
            )
        packed[key] = _pack(value, key, document)
    return json.dumps(packed, separators=(",", ":"))


def decode(text: str) -> dict[str, Any]:
    """Return the metadata that `encode` made this text of."""
    return {key: _unpack(value) for key, value in json.loads(text).items()}


def plain(value: object) -> object:
    """Return a NumPy scalar as Python's own type, anything else as it is."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        item = getattr(value, "item", None)
        return item() if callable(item) else value
    return value


def _pack(value: object, key: str, document: str) -> object:
    value = plain(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (datetime, date)):
        kind = "datetime" if isinstance(value, datetime) else "date"
        return {_TAG: kind, "v": value.isoformat()}
    if isinstance(value, tuple):
        return {_TAG: "tuple", "v": [_pack(v, key, document) for v in value]}
    if isinstance(value, list):
        return [_pack(v, key, document) for v in value]
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        inner = {k: _pack(v, key, document) for k, v in value.items()}
        return {_TAG: "dict", "v": inner} if _TAG in inner else inner
    raise InputError(
        f"metadata field {key!r} cannot be stored",
        where=_place(document),
        why=f"it holds a {type(value).__name__}",
        fix="Use text, numbers, booleans, dates, lists and dictionaries of those.",
    )


def _unpack(value: object) -> object:
    if isinstance(value, list):
        return [_unpack(v) for v in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {k: _unpack(v) for k, v in value.items()}
    kind, inner = value[_TAG], value["v"]
    if kind == "dict":
        return {k: _unpack(v) for k, v in inner.items()}
    if kind == "tuple":
        return tuple(_unpack(v) for v in inner)
    return datetime.fromisoformat(inner) if kind == "datetime" else date.fromisoformat(inner)


def _place(document: str) -> str | None:
    return f"document {document!r}" if document else None
