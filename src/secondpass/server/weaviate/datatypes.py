"""The data types of properties: what values they take."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.retrieve.lance.schema import Kind
from secondpass.server.weaviate.names import object_id
from secondpass.server.weaviate.responses import refused

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_INT64 = range(-(2**63), 2**63)

KINDS: Mapping[str, Kind] = {
    "text": "text",
    "uuid": "text",
    "int": "integer",
    "number": "number",
    "boolean": "boolean",
    "date": "datetime",
}
"""The data types that filters and sorting know, and what the column of one value holds."""


def moment(text: str) -> datetime:
    """Return the time of an RFC 3339 text, in UTC to the microsecond.

    Raises ValueError for any other text, and for a time before year 1 or after 9999.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is no date of RFC 3339, such as 2024-12-31T23:59:59Z")
    day, clock, fraction, zone = match.groups()
    digits = (fraction if fraction is not None else ".")[1:7].ljust(6, "0")
    try:
        found = datetime.fromisoformat(f"{day}T{clock}.{digits}{zone.upper()}")
        return found.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return clean(value)


def _int(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("not an integer")
    if value not in _INT64:
        raise ValueError("not an integer of 64 bits")
    return value


def _number(value: Any) -> float | int:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("not a number")
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError("not a finite number")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("not a boolean")
    return value


def _date(value: Any) -> str:
    moment(_text(value))
    return str(value)


def _uuid(value: Any) -> str:
    return object_id(_text(value))


def _blob(value: Any) -> str:
    try:
        base64.b64decode(_text(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a base64 string") from error
    return str(value)


def _coordinates(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not {"latitude", "longitude"} <= value.keys():
        raise ValueError("not an object with latitude and longitude")
    return {name: _number(value[name]) for name in ("latitude", "longitude")}


def _beacon(value: Any) -> dict[str, str]:
    beacon = value.get("beacon") if isinstance(value, dict) else None
    if not isinstance(beacon, str) or not beacon.startswith("weaviate://"):
        raise ValueError("not an object with a beacon, such as weaviate://localhost/Class/id")
    return {"beacon": clean(beacon)}


CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "int": _int,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "uuid": _uuid,
    "blob": _blob,
    "geoCoordinates": _coordinates,
    "reference": _beacon,
}
"""Return the value as it is stored, or raise ValueError; "object" is apart."""


def plain_json(value: Any) -> Any:
    """Return a value of any shape so that it can be stored and sent.

    Raises Problem (422) for a number that is not finite.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise refused("a number is not finite")
    if isinstance(value, list):
        return [plain_json(one) for one in value]
    if isinstance(value, dict):
        return {clean(str(key)): plain_json(one) for key, one in value.items()}
    return value
