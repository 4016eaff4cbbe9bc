"""Properties of a class: declarations, data types, validation and tokenization."""

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
from secondpass.retrieve.lance.schema import Kind
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.names import parse_class_name, parse_property_name, parse_uuid

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_INT64 = range(-(2**63), 2**63)

COLUMN_KINDS: Mapping[str, Kind] = {
    "text": "text",
    "uuid": "text",
    "int": "integer",
    "number": "number",
    "boolean": "boolean",
    "date": "datetime",
}
"""The data types that can be filtered and sorted, and the kind of column for a single value."""


def parse_rfc3339(text: str) -> datetime:
    """Parse an RFC 3339 date into a naive datetime in UTC, truncated to microseconds.

    Raises ValueError for any other text, and for dates before year 1 or after 9999.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is not an RFC 3339 date, such as 2024-12-31T23:59:59Z")
    day, clock, fraction, zone = match.groups()
    digits = (fraction if fraction is not None else ".")[1:7].ljust(6, "0")
    try:
        parsed = datetime.fromisoformat(f"{day}T{clock}.{digits}{zone.upper()}")
        return parsed.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error


def _validate_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a string")
    return clean(value)


def _validate_int(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("not an integer")
    if value not in _INT64:
        raise ValueError("not an integer of 64 bits")
    return value


def _validate_number(value: Any) -> float | int:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("not a number")
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError("not a finite number")
    return value


def _validate_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("not a boolean")
    return value


def _validate_date(value: Any) -> str:
    parse_rfc3339(_validate_text(value))
    return str(value)


def _validate_uuid(value: Any) -> str:
    return parse_uuid(_validate_text(value))


def _validate_blob(value: Any) -> str:
    try:
        base64.b64decode(_validate_text(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a base64 string") from error
    return str(value)


def _validate_coordinates(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not {"latitude", "longitude"} <= value.keys():
        raise ValueError("not an object with latitude and longitude")
    return {name: _validate_number(value[name]) for name in ("latitude", "longitude")}


def _validate_beacon(value: Any) -> dict[str, str]:
    beacon = value.get("beacon") if isinstance(value, dict) else None
    if not isinstance(beacon, str) or not beacon.startswith("weaviate://"):
        raise ValueError("not an object with a beacon, such as weaviate://localhost/Class/id")
    return {"beacon": clean(beacon)}


VALIDATORS: Mapping[str, Callable[[Any], Any]] = {
    "text": _validate_text,
    "int": _validate_int,
    "number": _validate_number,
    "boolean": _validate_boolean,
    "date": _validate_date,
    "uuid": _validate_uuid,
    "blob": _validate_blob,
    "geoCoordinates": _validate_coordinates,
    "reference": _validate_beacon,
}
"""By data type: return the value as stored, or raise ValueError. "object" is not in here."""


def clean_json(value: Any) -> Any:
    """Return a JSON value that can be stored and sent.

    Raises HttpError (422) for a number that is not finite.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise unprocessable("a number is not finite")
    if isinstance(value, list):
        return [clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean(str(key)): clean_json(item) for key, item in value.items()}
    return value


TOKEN_SEPARATOR = "\x1f"
"""Surrounds each token of a stored value; no token contains it."""

_WORD = re.compile(r"[^\W_]+")
_PATTERN = re.compile(r"(?:[^\W_]|[*?])+")


def _tokenize_field(text: str) -> list[str]:
    token = text.strip().replace(TOKEN_SEPARATOR, " ")
    return [token] if token else []


TOKENIZATIONS: Mapping[str, Callable[[str], list[str]]] = {
    "word": lambda text: [w.lower() for w in _WORD.findall(text)],
    "lowercase": lambda text: text.lower().split(),
    "whitespace": str.split,
    "field": _tokenize_field,
}
"""Weaviate's tokenizations, by name."""


def tokenize(text: str, tokenization: str) -> list[str]:
    """Split a text into tokens; `tokenization` is a key of TOKENIZATIONS."""
    return TOKENIZATIONS[tokenization](text)


def tokenize_pattern(pattern: str, tokenization: str) -> list[str]:
    """Split a Like pattern into tokens, keeping the wildcards * and ?."""
    if tokenization == "word":
        return [w.lower() for w in _PATTERN.findall(pattern)]
    return tokenize(pattern, tokenization)


def join_tokens(tokens: Iterable[str]) -> str:
    """Return tokens as a column stores them, so that SQL `contains` matches whole tokens."""
    return TOKEN_SEPARATOR + "".join(token + TOKEN_SEPARATOR for token in tokens)


_LIST_TYPES = ("text", "int", "number", "boolean", "date", "uuid", "object")
# A property name may start with an underscore; no column of the index itself starts with "p_".
_COLUMN_PREFIX = "p_"
MAX_PROPERTIES = 500


@dataclass(frozen=True, slots=True)
class Property:
    """A declared property.

    - `kind`: the data type without brackets, or "reference"; `is_list`: declared as a list.
    - `tokenization`: for texts, else None; `searchable`: whether BM25 reads it.
    - `modules`: settings of vectorizers; `nested`: the properties of an object.
    """

    name: str
    kind: str
    is_list: bool = False
    tokenization: str | None = None
    searchable: bool = False
    modules: Mapping[str, Any] | None = None
    nested: tuple[Property, ...] = ()

    @classmethod
    def from_declaration(cls, declaration: Mapping[str, Any]) -> Property:
        """Build a property from its complete declaration."""
        data_type = declaration["dataType"][0]
        kind = data_type.removesuffix("[]")
        modules = declaration.get("moduleConfig")
        nested = declaration.get("nestedProperties", ())
        return cls(
            name=declaration["name"],
            kind="reference" if kind[:1].isupper() else kind,
            is_list=data_type.endswith("[]"),
            tokenization=declaration.get("tokenization"),
            searchable=bool(declaration["indexSearchable"]) and kind == "text",
            modules=modules if isinstance(modules, dict) else None,
            nested=tuple(map(cls.from_declaration, nested)),
        )

    @property
    def data_type(self) -> str:
        """The data type as declared."""
        return f"{self.kind}[]" if self.is_list else self.kind

    @property
    def column(self) -> str | None:
        """The column for filters and sorting; None for types that cannot be filtered."""
        return f"{_COLUMN_PREFIX}{self.name}" if self.kind in COLUMN_KINDS else None

    @property
    def tokenized(self) -> bool:
        """Whether the column stores tokens instead of one value: for texts and all lists."""
        return self.kind == "text" or self.is_list

    def validate(self, value: Any, owner: str) -> Any:
        """Return a value as it is stored; raises HttpError (422) for another type."""
        try:
            if not self.is_list and self.kind != "reference":
                return self._validate_item(value, owner)
            if not isinstance(value, list):
                raise ValueError("not a list")
            return [self._validate_item(item, owner) for item in value]
        except ValueError as error:
            raise unprocessable(
                f"invalid {self.data_type} property '{self.name}' on class '{owner}': {error}"
            ) from error

    def column_value(self, value: Any) -> Any:
        """Return what the column stores for a validated value."""
        if not self.tokenized:
            if self.kind == "date":
                return parse_rfc3339(value)
            # A column whose first values are integers would reject fractions in filters.
            return float(value) if self.kind == "number" else value
        values = value if self.is_list else [value]
        return join_tokens(token for item in values for token in self.tokenize(item))

    def tokenize(self, value: Any) -> list[str]:
        """Return the tokens of one value, for a column that stores tokens."""
        if self.tokenization is not None:
            return tokenize(value, self.tokenization)
        if self.kind == "date":
            return [parse_rfc3339(value).isoformat()]
        # Adding 0.0 turns -0.0 into 0.0.
        return [str(value) if self.kind != "number" else repr(float(value) + 0.0)]

    def texts(self, value: Any) -> list[str]:
        """Return the texts in a validated value."""
        if self.kind != "text":
            return []
        return list(value) if self.is_list else [value]

    def _validate_item(self, value: Any, owner: str) -> Any:
        if self.kind != "object":
            return VALIDATORS[self.kind](value)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return validate_values(self.nested, value, f"{owner}.{self.name}")


def validate_values(
    properties: Iterable[Property], values: Mapping[Any, Any], owner: str
) -> dict[str, Any]:
    """Return the values of properties as they are stored; null counts as absent.

    Raises HttpError (422) for an undeclared property, and for a value of another type.
    """
    by_name = {property_.name: property_ for property_ in properties}
    validated: dict[str, Any] = {}
    for key, value in values.items():
        name = parse_property_name(key)
        if value is None:
            continue
        if name not in by_name:
            raise unprocessable(f"no such property {name!r} on class '{owner}'")
        validated[name] = by_name[name].validate(value, owner)
    return validated


def complete_property(body: Any) -> dict[str, Any]:
    """Return a client's property declaration, validated and completed with defaults.

    Raises HttpError (422).
    """
    if not isinstance(body, dict):
        raise unprocessable("a property must be an object")
    name = parse_property_name(body.get("name"))
    types = body.get("dataType")
    if isinstance(types, str):
        types = [types]
    if not isinstance(types, list) or not types or not all(isinstance(t, str) for t in types):
        raise unprocessable(f"property '{name}': dataType must be a list of names")
    kind = types[0].removesuffix("[]")
    declaration = {key: value for key, value in body.items() if value is not None}
    if kind[:1].isupper():
        declaration["dataType"] = [parse_class_name(type_) for type_ in types]
        return {**declaration, "name": name, "indexFilterable": True, "indexSearchable": False}
    if kind == "string":
        # Weaviate itself has replaced "string" by "text".
        kind, field = "text", declaration.get("tokenization") == "field"
        declaration["tokenization"] = "field" if field else "whitespace"
    is_list = types[0].endswith("[]")
    supported = kind in _LIST_TYPES if is_list else kind in (*VALIDATORS, "object")
    if not supported or kind == "reference" or len(types) > 1:
        raise unprocessable(f"property '{name}': data type {types!r:.80} is not supported here")
    declaration |= {"name": name, "dataType": [f"{kind}[]" if is_list else kind]}
    indexed = declaration.pop("indexInverted", None) is not False
    declaration.setdefault("indexFilterable", indexed)
    declaration.setdefault("indexSearchable", indexed and kind == "text")
    if kind == "text":
        declaration.setdefault("tokenization", "word")
        if str(declaration["tokenization"]) not in TOKENIZATIONS:
            raise unprocessable(
                f"property '{name}': tokenization {declaration['tokenization']!r:.80} is not "
                f"supported here, use one of {', '.join(TOKENIZATIONS)}"
            )
    else:
        declaration.pop("tokenization", None)
    if kind == "object":
        nested = complete_properties(declaration.get("nestedProperties"), name)
        if not nested:
            raise unprocessable(f"property '{name}': an object needs nestedProperties")
        declaration["nestedProperties"] = nested
    return declaration


def complete_properties(body: Any, owner: str) -> list[dict[str, Any]]:
    """Complete property declarations; raises HttpError (422), also for a name given twice."""
    if body is None:
        return []
    if not isinstance(body, list):
        raise unprocessable(f"{owner}: properties must be a list")
    check_property_count(len(body), owner)
    declarations = [complete_property(item) for item in body]
    names = [declaration["name"].lower() for declaration in declarations]
    for name in names:
        if names.count(name) > 1:
            raise unprocessable(
                f"{owner}: property '{name}' is declared more than once (names are compared "
                "without case)"
            )
    return declarations


def check_property_count(count: int, owner: str) -> None:
    """Raise HttpError (422) for more properties than a class may have."""
    if count > MAX_PROPERTIES:
        raise unprocessable(f"{owner}: at most {MAX_PROPERTIES} properties, not {count}")
