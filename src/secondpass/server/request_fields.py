"""Request fields: what each API publishes and what each field does here, declared once.

A dialect declares its fields as `RequestFields` and names them in its `Operation`. The request
handler calls `accept` before `parse`: fields that are refused, and values of a wrong type, are
an error that names them; what has no effect here, or is unknown, is removed and reported in the
response header `X-Ignored-Fields`; only honored fields reach `parse`. A field that is not
declared can therefore not be read. docs/reference/request-fields.md is made from the same
declarations.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from starlette.applications import Starlette
from starlette.routing import Route

from secondpass.option_types import Choice, Count, Flag, Kind, Number
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.http_json import Body, type_name

IGNORED_HEADER = "x-ignored-fields"
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_MAX_NAMES = 20
_MAX_NAME = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9_.\[\]-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Honored:
    """A field that acts.

    - `note`: what it does, a phrase for the reference. `required`: whether it is an error
      without.
    - `kind`: the type and range of its values; None where the dialect's parser checks them.
    """

    note: str
    kind: Kind | None = None
    required: bool = False
    treatment: ClassVar[str] = "honored"

    @property
    def text(self) -> str:
        """What the reference says of it."""
        return self.note


@dataclass(frozen=True, slots=True)
class Refused:
    """A field that is an error (400), because to ignore it would change what comes back.

    - `why`: the reason, a clause that follows a colon.
    - `unless`: values that ask for nothing, such as False or "none", and are accepted.
    """

    why: str
    unless: tuple[Any, ...] = ()
    treatment: ClassVar[str] = "refused"

    @property
    def text(self) -> str:
        """What the reference says of it."""
        accepted = ", ".join(f"`{json.dumps(value)}`" for value in self.unless)
        return f"{self.why}; accepted: {accepted}" if accepted else self.why


@dataclass(frozen=True, slots=True)
class NoEffect:
    """A field that is accepted and changes nothing, as it has nothing to change here.

    - `why`: the reason, a clause that follows a colon.
    - `checked`: whether `parse` gets it, to refuse what the API refuses.
    """

    why: str
    checked: bool = False
    treatment: ClassVar[str] = "no effect"

    @property
    def text(self) -> str:
        """What the reference says of it."""
        return self.why


RequestField = Honored | Refused | NoEffect
Unknown = Literal["ignored", "refused"]
"""What happens to fields that an API does not publish."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A body with nothing but honored fields, and the names of the fields that were removed.

    `warnings` says the same in sentences, for replies that have room for them.
    """

    body: Body
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RequestFields:
    """The fields of one request body of one API.

    - `api`: its name in the reference and in errors; `path`: one that no other API shares.
    - `fields`: by name; "a.b" is a field of the object `a`, "a[].b" of the objects in the list
      `a`. An object with declared fields has no others.
    - `lenient`: whether booleans and numbers may be strings, and numbers stand for booleans, as
      many clients send them.
    - `unknown`: what happens to fields that are not declared.
    """

    api: str
    path: str
    fields: Mapping[str, RequestField]
    lenient: bool = True
    unknown: Unknown = "ignored"
    _tree: _Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", _make_tree(self.fields))

    @property
    def names(self) -> frozenset[str]:
        """The names at the top of the body."""
        return frozenset(self._tree.children)

    @property
    def required(self) -> tuple[str, ...]:
        """The names at the top that a body must have."""
        declared = self.fields.items()
        return tuple(n for n, f in declared if isinstance(f, Honored) and f.required)

    def accept(self, body: Body) -> Accepted:
        """Check a body, and return it without the fields that do nothing here.

        Raises HttpError (400) that names the field: for a refused one, an unknown one where
        those are refused, a value of a wrong type, and a required one that is missing.
        """
        removed = _Removed()
        values = dict(self._accept(body.fields, self._tree, "", removed))
        for name in self.required:
            if values.get(name) is None:
                raise invalid(f"{name} is missing")
        return Accepted(Body(values), *removed.report())

    def _accept(
        self, fields: Mapping[str, Any], node: _Node, prefix: str, removed: _Removed
    ) -> Iterator[tuple[str, Any]]:
        for name, value in fields.items():
            child, path = node.children.get(name), prefix + _printable(name)
            if value is None:
                continue
            if child is None:
                if self.unknown == "refused":
                    raise invalid(f"{path} is not a field of {self.api}")
                removed.add(path, f"{path} is not a field of {self.api}: it is ignored")
            elif isinstance(child.declared, Refused):
                if not any(_same(value, accepted) for accepted in child.declared.unless):
                    raise invalid(f"{path} is not supported here: {child.declared.why}")
            elif isinstance(child.declared, NoEffect):
                removed.add(path, f"{path} has no effect here: {child.declared.why}")
                if child.declared.checked:
                    yield name, value
            elif child.children:
                yield name, self._inside(value, child, path, removed)
            else:
                kind = None if child.declared is None else child.declared.kind
                yield name, value if kind is None else self._typed(value, kind, path)

    def _inside(self, value: Any, node: _Node, path: str, removed: _Removed) -> Any:
        if not node.is_list:
            if not isinstance(value, Mapping):
                raise invalid(f"{path} must be an object, not {type_name(value)}")
            return dict(self._accept(value, node, f"{path}.", removed))
        if not isinstance(value, list):
            return value
        # What is no object in the list, the dialect's parser reads or refuses.
        return [
            dict(self._accept(item, node, f"{path}[].", removed))
            if isinstance(item, Mapping)
            else item
            for item in value
        ]

    def _typed(self, value: Any, kind: Kind, path: str) -> Any:
        if self.lenient:
            value = convert(value, kind)
        problem = kind.problem(value)
        if problem is not None:
            must = problem.removeprefix("it ") if problem.startswith("it must") else None
            message = f"{path} {must}" if must else f"{path}: {problem}"
            raise invalid(f"{message}, not {value!r}"[:200])
        return value


@dataclass(slots=True)
class _Removed:
    """The fields that were removed, with the reasons: the first ones by name, then a count."""

    reasons: dict[str, str] = field(default_factory=dict)
    more: int = 0

    def add(self, name: str, reason: str) -> None:
        if len(self.reasons) < _MAX_NAMES:
            self.reasons[name] = reason
        elif name not in self.reasons:
            self.more += 1

    def report(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return names and reasons."""
        names, reasons = tuple(self.reasons), tuple(self.reasons.values())
        if not self.more:
            return names, reasons
        more = f"and {self.more} more"
        return (*names, more), (*reasons, f"{more} fields are ignored")


@dataclass(slots=True)
class _Node:
    """A field with its declaration and the fields inside it; the root has no declaration."""

    declared: RequestField | None = None
    is_list: bool = False
    children: dict[str, _Node] = field(default_factory=dict)


def _make_tree(fields: Mapping[str, RequestField]) -> _Node:
    root = _Node()
    for path, declared in fields.items():
        node = root
        for part in path.split("."):
            name = part.removesuffix("[]")
            node = node.children.setdefault(name, _Node())
            node.is_list = node.is_list or part.endswith("[]")
        node.declared = declared
    return root


def convert(value: Any, kind: Kind) -> Any:
    """Return a value as the kind has it, where a client wrote it as another type.

    "true", "1" and 1 are booleans, "3" and 3.0 whole numbers, "0.5" is a number; anything else
    is returned as it is.
    """
    if isinstance(kind, Flag):
        word = str(value).lower().removesuffix(".0")
        return word in _TRUE if word in (*_TRUE, *_FALSE) else value
    if isinstance(kind, Choice) and isinstance(value, str):
        return next((v for v in kind.values if v.lower() == value.lower()), value)
    if not isinstance(kind, Count | Number) or isinstance(value, bool):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if isinstance(kind, Count) and isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else value
    return value


def _same(value: Any, accepted: Any) -> bool:
    if accepted and isinstance(accepted, Mapping) and isinstance(value, Mapping):
        return all(key in value and _same(value[key], v) for key, v in accepted.items())
    # 0 is not False, but 0.0 is 0.
    return value == accepted and isinstance(value, bool) == isinstance(accepted, bool)


def _printable(name: str) -> str:
    # Not empty: a header cannot begin with the space that follows the name.
    return _UNSAFE.sub("?", name[:_MAX_NAME]) or "?"


def choose_by_fields(body: Body, declared: Sequence[RequestFields]) -> RequestFields:
    """Return the API, among those that share a path, that a body is written for.

    An API fits if it has all fields of the body that any of them has, and the body has what it
    requires. Where several fit it is the first of them. Raises HttpError (400) if fields belong
    to different APIs; it names the path of each.
    """
    present = [name for name, value in body.fields.items() if value is not None]
    # A null is absent, but which nulls a client sends may tell what client it is.
    for names in (list(body.fields), present):
        known = [n for n in names if any(n in fields.names for fields in declared)]
        fitting = [f for f in declared if all(n in f.names for n in known)]
        if fitting:
            break
    else:
        raise _ambiguous(known, declared)
    complete = [f for f in fitting if all(name in present for name in f.required)]
    return (complete or fitting)[0]


def _ambiguous(names: Sequence[str], declared: Sequence[RequestFields]) -> HttpError:
    owners = {n: [fields for fields in declared if n in fields.names] for n in names}
    telling = sorted(
        (name for name, found in owners.items() if len(found) < len(declared)),
        key=lambda name: len(owners[name]),
    )
    parts = [
        f"{name} of {' and '.join(fields.path for fields in owners[name])}"
        for name in telling[:6]
    ]
    return invalid(
        "this path is shared, and the fields of the request belong to different APIs: "
        f"{', '.join(parts)}; send it to one of these paths"
    )


def served_fields(app: Starlette) -> dict[RequestFields, list[str]]:
    """Return the declared fields of all paths of an application, with the paths of each."""
    found: dict[RequestFields, list[str]] = {}
    for route in app.routes:
        if not isinstance(route, Route):
            continue
        for operation in getattr(route.endpoint, "operations", ()):
            if operation.fields is not None:
                paths = found.setdefault(operation.fields, [])
                paths += [] if route.path in paths else [route.path]
    return found
