"""The properties of a class: how they are declared, and what values they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.server.weaviate.datatypes import CHECKS, KINDS, moment
from secondpass.server.weaviate.names import class_name, property_name
from secondpass.server.weaviate.responses import refused
from secondpass.server.weaviate.tokens import TOKENIZATIONS, stored, tokens

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
