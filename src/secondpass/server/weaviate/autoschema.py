"""Properties that objects bring and nobody declared: the database declares them itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from secondpass.server.weaviate.datatypes import moment
from secondpass.server.weaviate.names import property_name
from secondpass.server.weaviate.properties import declared
from secondpass.server.weaviate.responses import refused

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BEACON = re.compile(r"weaviate://[^/]*/([A-Z][_0-9A-Za-z]*)/.+")


def grown(
    known: Sequence[Mapping[str, Any]], values: Mapping[Any, Any]
) -> list[Mapping[str, Any]]:
    """Return declarations of properties that cover these values: the known, and new ones.

    Raises Problem (422) for a value whose type nobody can tell.
    """
    found = list(known)
    places = {one["name"].lower(): place for place, one in enumerate(found)}
    for key, value in values.items():
        name = property_name(key)
        if value is None:
            continue
        place = places.get(name.lower())
        if place is None:
            places[name.lower()] = len(found)
            found.append(declared({"name": name, **_inferred(name, value)}))
        elif found[place]["name"] == name and "nestedProperties" in found[place]:
            nested: Sequence[Mapping[str, Any]] = found[place]["nestedProperties"]
            for one in value if isinstance(value, list) else [value]:
                nested = grown(nested, one) if isinstance(one, dict) else nested
            found[place] = {**found[place], "nestedProperties": nested}
    return found


def _inferred(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, list):
        return _declaration(name, _kind(name, value), [value])
    beacons = [_BEACON.match(str(v.get("beacon"))) for v in value if isinstance(v, dict)]
    if beacons and all(beacons) and len(beacons) == len(value):
        return {"dataType": sorted({match[1] for match in beacons if match is not None})}
    kinds = {_kind(name, one) for one in value}
    if kinds <= {"text", "date", "uuid"}:
        kinds = kinds if len(kinds) == 1 else {"text"}
    if len(kinds) > 1:
        raise refused(f"property '{name}': its values are of several types: {sorted(kinds)}")
    return _declaration(name, f"{kinds.pop()}[]", value)


def _declaration(name: str, kind: str, values: Iterable[Any]) -> dict[str, Any]:
    if kind.removesuffix("[]") != "object":
        return {"dataType": [kind]}
    nested: list[Mapping[str, Any]] = []
    for one in values:
        nested = grown(nested, one)
    return {"dataType": [kind], "nestedProperties": nested}


def _kind(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return "uuid"
        try:
            moment(value)
        except ValueError:
            return "text"
        return "date"
    if isinstance(value, dict):
        place = value.keys() == {"latitude", "longitude"}
        return "geoCoordinates" if place else "object"
    raise refused(f"property '{name}': the type of {value!r:.80} cannot be told")
