"""The properties of a class: how they are declared, and what values they take.

The data types of properties: what values they take.

Texts as the tokens that filters compare, by the tokenizations of the database.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from secondpass.inference.tokenizer import clean
from secondpass.retrieve.backends.lance.schema import Kind
from secondpass.server.weaviate.names import class_name, object_id, property_name
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


BETWEEN = "\x1f"
"""Stands before, between and after the tokens of a stored value, and within none."""

_WORD = re.compile(r"[^\W_]+")
_PATTERN = re.compile(r"(?:[^\W_]|[*?])+")


def _field(text: str) -> list[str]:
    token = text.strip().replace(BETWEEN, " ")
    return [token] if token else []


TOKENIZATIONS: Mapping[str, Callable[[str], list[str]]] = {
    "word": lambda text: [w.lower() for w in _WORD.findall(text)],
    "lowercase": lambda text: text.lower().split(),
    "whitespace": str.split,
    "field": _field,
}
"""Words of letters and digits in lower case; pieces between spaces; the whole text."""


def tokens(text: str, tokenization: str) -> list[str]:
    """Return the tokens of a text in order; the tokenization is one of TOKENIZATIONS."""
    return TOKENIZATIONS[tokenization](text)


def pattern_tokens(pattern: str, tokenization: str) -> list[str]:
    """Return the tokens of a pattern, whose wildcards * and ? are part of them."""
    if tokenization == "word":
        return [w.lower() for w in _PATTERN.findall(pattern)]
    return tokens(pattern, tokenization)


def stored(found: Iterable[str]) -> str:
    """Return tokens as a column holds them: `contains` finds each whole."""
    return BETWEEN + "".join(token + BETWEEN for token in found)


_MANY = ("text", "int", "number", "boolean", "date", "uuid", "object")
# A property of the name may start with an underscore, and no column of ours may.
_COLUMN = "p_"
MOST_PROPERTIES = 500


@dataclass(frozen=True, slots=True)
class Property:
    """What is declared of a property.

    - `kind`: the data type without brackets, or "reference"; `many`: whether it is a list.
    - `tokenization`: of texts, else None; `searchable`: whether BM25 reads it.
    - `modules`: the settings of vectorizers; `nested`: the properties of an object.
    """

    name: str
    kind: str
    many: bool = False
    tokenization: str | None = None
    searchable: bool = False
    modules: Mapping[str, Any] | None = None
    nested: tuple[Property, ...] = ()

    @property
    def data_type(self) -> str:
        """The data type as it is declared."""
        return f"{self.kind}[]" if self.many else self.kind

    @property
    def column(self) -> str | None:
        """The column that filters use, or None where there is none."""
        return f"{_COLUMN}{self.name}" if self.kind in KINDS else None

    @property
    def tokenized(self) -> bool:
        """Whether the column holds tokens, not one value: texts, and all lists."""
        return self.kind == "text" or self.many

    def checked(self, value: Any, owner: str) -> Any:
        """Return a value as it is stored; raises Problem (422) for one of another type."""
        try:
            if not self.many and self.kind != "reference":
                return self._one(value, owner)
            if not isinstance(value, list):
                raise ValueError("not a list")
            return [self._one(one, owner) for one in value]
        except ValueError as error:
            raise refused(
                f"invalid {self.data_type} property '{self.name}' on class '{owner}': {error}"
            ) from error

    def column_value(self, value: Any) -> Any:
        """Return what the column holds for a value that was checked."""
        if not self.tokenized:
            if self.kind == "date":
                return moment(value)
            # A column that began with whole numbers would refuse others as filters.
            return float(value) if self.kind == "number" else value
        values = value if self.many else [value]
        return stored(token for one in values for token in self.tokens(one))

    def tokens(self, value: Any) -> list[str]:
        """Return the tokens of one value, for a column that holds tokens."""
        if self.tokenization is not None:
            return tokens(value, self.tokenization)
        if self.kind == "date":
            return [moment(value).isoformat()]
        # Adding 0 makes one zero of two.
        return [str(value) if self.kind != "number" else repr(float(value) + 0.0)]

    def texts(self, value: Any) -> list[str]:
        """Return the texts of a value that was checked."""
        if self.kind != "text":
            return []
        return list(value) if self.many else [value]

    def _one(self, value: Any, owner: str) -> Any:
        if self.kind != "object":
            return CHECKS[self.kind](value)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return checked_values(self.nested, value, f"{owner}.{self.name}")


def checked_values(
    known: Iterable[Property], values: Mapping[Any, Any], owner: str
) -> dict[str, Any]:
    """Return the values of properties as they are stored; null counts as absent.

    Raises Problem (422) for a property that is not known, and for a value of another type.
    """
    by_name = {one.name: one for one in known}
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = property_name(key)
        if value is None:
            continue
        if name not in by_name:
            raise refused(f"no such property {name!r} on class '{owner}'")
        found[name] = by_name[name].checked(value, owner)
    return found


def declared(given: Any) -> dict[str, Any]:
    """Return the declaration of a property, complete; raises Problem (422)."""
    if not isinstance(given, dict):
        raise refused("a property must be an object")
    name = property_name(given.get("name"))
    kinds = given.get("dataType")
    if isinstance(kinds, str):
        kinds = [kinds]
    if not isinstance(kinds, list) or not kinds or not all(isinstance(k, str) for k in kinds):
        raise refused(f"property '{name}': dataType must be a list of names")
    base = kinds[0].removesuffix("[]")
    found = {key: value for key, value in given.items() if value is not None}
    if base[:1].isupper():
        found["dataType"] = [class_name(kind) for kind in kinds]
        return {**found, "name": name, "indexFilterable": True, "indexSearchable": False}
    if base == "string":
        # What the database itself has made of it since texts came.
        base, field = "text", found.get("tokenization") == "field"
        found["tokenization"] = "field" if field else "whitespace"
    many = kinds[0].endswith("[]")
    known = base in _MANY if many else base in (*CHECKS, "object")
    if not known or base == "reference" or len(kinds) > 1:
        raise refused(f"property '{name}': data type {kinds!r:.80} is not supported here")
    found |= {"name": name, "dataType": [f"{base}[]" if many else base]}
    indexed = found.pop("indexInverted", None) is not False
    found.setdefault("indexFilterable", indexed)
    found.setdefault("indexSearchable", indexed and base == "text")
    if base == "text":
        found.setdefault("tokenization", "word")
        if str(found["tokenization"]) not in TOKENIZATIONS:
            raise refused(
                f"property '{name}': tokenization {found['tokenization']!r:.80} is not "
                f"supported here, but {', '.join(TOKENIZATIONS)}"
            )
    else:
        found.pop("tokenization", None)
    if base == "object":
        found["nestedProperties"] = all_declared(found.get("nestedProperties"), name)
        if not found["nestedProperties"]:
            raise refused(f"property '{name}': an object needs nestedProperties")
    return found


def check_number(properties: int, owner: str) -> None:
    """Raise Problem (422) for more properties than a class may have."""
    if properties > MOST_PROPERTIES:
        raise refused(f"{owner}: at most {MOST_PROPERTIES} properties, not {properties}")


def all_declared(given: Any, owner: str) -> list[dict[str, Any]]:
    """Return the declarations of properties, no name twice; raises Problem (422)."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise refused(f"{owner}: properties must be a list")
    check_number(len(given), owner)
    found = [declared(one) for one in given]
    names = [one["name"].lower() for one in found]
    for name in names:
        if names.count(name) > 1:
            raise refused(f"{owner}: property '{name}' is there more than once, whatever case")
    return found


def read_property(declaration: Mapping[str, Any]) -> Property:
    """Return what a complete declaration says."""
    kind = declaration["dataType"][0]
    base = kind.removesuffix("[]")
    modules = declaration.get("moduleConfig")
    return Property(
        name=declaration["name"],
        kind="reference" if base[:1].isupper() else base,
        many=kind.endswith("[]"),
        tokenization=declaration.get("tokenization"),
        searchable=bool(declaration["indexSearchable"]) and base == "text",
        modules=modules if isinstance(modules, dict) else None,
        nested=tuple(map(read_property, declaration.get("nestedProperties", ()))),
    )
