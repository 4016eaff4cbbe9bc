"""Option declarations: type, range, default and one line of help, read by every interface.

An option is a key of a `TypedDict` annotated with an `Option`. The library checks values with
it; the command line, configuration files, the HTTP interface and the reference are made from
it (see CONTRIBUTING.md, "Add a search option").
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from secondpass.errors import InputError, nearest

Interface = Literal["cli", "config", "http"]
"""Where an option can be set besides the library: command line, TOML file, `/api/v1`."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number from `minimum` up."""

    minimum: int = 1

    def problem(self, value: object) -> str | None:
        """Return why a value cannot be used, or None."""
        if type(value) is int and value >= self.minimum:
            return None
        return f"it must be a whole number from {self.minimum} up"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a value."""
        return {"type": "integer", "minimum": self.minimum}


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number; `minimum` and `maximum` are allowed values, `above` is not."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None

    def problem(self, value: object) -> str | None:
        """Return why a value cannot be used, or None."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if (
            number
            and math.isfinite(value)  # type: ignore[arg-type]
            and (self.minimum is None or value >= self.minimum)  # type: ignore[operator]
            and (self.maximum is None or value <= self.maximum)  # type: ignore[operator]
            and (self.above is None or value > self.above)  # type: ignore[operator]
        ):
            return None
        if self.above is not None:
            return f"it must be a number above {self.above:g}"
        if self.minimum is None:
            return "it must be a finite number"
        upper = "up" if self.maximum is None else f"to {self.maximum:g}"
        return f"it must be a number from {self.minimum:g} {upper}"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a value."""
        limits = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "exclusiveMinimum": self.above,
        }
        return {"type": "number", **{k: v for k, v in limits.items() if v is not None}}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or False."""

    def problem(self, value: object) -> str | None:
        """Return why a value cannot be used, or None."""
        return None if isinstance(value, bool) else "it must be true or false"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a value."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words."""

    values: tuple[str, ...]

    def problem(self, value: object) -> str | None:
        """Return the nearest of the words, or None for one of them."""
        return None if value in self.values else nearest(str(value), self.values)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a value."""
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Text:
    """A string that is not empty; `what` names it in errors, as in "the path of a file"."""

    what: str = "a text"

    def problem(self, value: object) -> str | None:
        """Return why a value cannot be used, or None."""
        return None if isinstance(value, str) and value else f"it must be {self.what}"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a value."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True)
class Names:
    """A list of one or more strings, or of none; `what` says of what in errors."""

    what: str = "names"
    minimum: int = 1

    def problem(self, value: object) -> str | None:
        """Return why a value cannot be used, or None."""
        if not isinstance(value, list | tuple) or len(value) < self.minimum:
            return f"it must be a list of {self.what}"
        right = all(isinstance(name, str) and name for name in value)
        return None if right else f"it must be a list of {self.what}"

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a value."""
        items = {"type": "string", "minLength": 1}
        return {"type": "array", "items": items, "minItems": self.minimum}


@dataclass(frozen=True, slots=True)
class Custom:
    """What the other kinds do not cover: a JSON schema, and a function that checks."""

    schema: Mapping[str, Any]
    check: Callable[[Any], str | None]

    def problem(self, value: object) -> str | None:
        """Return why a value cannot be used, or None."""
        return self.check(value)


Kind = Count | Number | Flag | Choice | Text | Names | Custom
"""What the JSON and TOML forms of an option's values are."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option, declared where its type is.

    - `default`: the value where none is given. `help`: one line, a noun phrase or an
      imperative, as the command line prints it.
    - `kind`: the values of its JSON and TOML forms; where `default` is None, null as well.
    - `second_pass`: whether it means nothing without a reranker.
    - `flags`: the command-line spelling where it is not `--name`, as "--blend/--no-blend".
    - `repeated`: whether the command line takes one value of its list at a time, several times.
    - `absent`: interfaces that do not offer it, with the reason.
    - `nullable`: whether null switches off what the default has switched on.
    """

    default: Any
    help: str
    kind: Kind
    second_pass: bool = False
    flags: tuple[str, ...] = ()
    repeated: bool = False
    absent: Mapping[Interface, str] = field(default_factory=dict)
    nullable: bool = False

    @property
    def takes_null(self) -> bool:
        """Whether None is one of its values."""
        return self.nullable or self.default is None

    def problem(self, value: object) -> str | None:
        """Return why the JSON form of a value cannot be used, or None."""
        return None if value is None and self.takes_null else self.kind.problem(value)


@cache
def declared(options: type) -> Mapping[str, Option]:
    """Return the options that a `TypedDict` declares, by name, in order.

    Raises TypeError for a key without an `Option`.
    """
    declarations = {}
    for name, hint in _hints(options).items():
        found = [extra for extra in get_args(hint)[1:] if isinstance(extra, Option)]
        if not found:
            raise TypeError(f"{options.__name__}.{name} is not annotated with an Option")
        declarations[name] = found[0]
    return declarations


def _hints(options: type) -> dict[str, Any]:
    """Return the annotations; a name that only type checkers import counts as Any."""
    names: dict[str, Any] = {}
    while True:
        try:
            return get_type_hints(options, localns=names, include_extras=True)
        except NameError as error:
            names[str(error.name)] = Any


def offered(options: type, interface: Interface) -> dict[str, Option]:
    """Return the options that an interface offers."""
    known = declared(options)
    return {name: option for name, option in known.items() if interface not in option.absent}


def with_defaults(options: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every option: the given one, or the default.

    Raises InputError for a name that is no option, with the nearest one.
    """
    known = declared(options)
    for name in given:
        if name not in known:
            raise InputError(f"there is no option {name!r}", fix=nearest(name, known))
    return {**{name: option.default for name, option in known.items()}, **given}


def check_second_pass(options: type, chosen: Mapping[str, Any], why: str) -> None:
    """Raise InputError if an option of the second pass is set, though there is none."""
    idle = [
        name
        for name, option in declared(options).items()
        if option.second_pass and not _is_default(option, chosen.get(name, option.default))
    ]
    if idle:
        verb = "is" if len(idle) == 1 else "are"
        raise InputError(f"{' and '.join(idle)} {verb} for the second pass", why=why)


def _is_default(option: Option, value: Any) -> bool:
    # A list may be empty in a form of its own, and None is none where it is not the default.
    empty = (option.default == () and value == []) or (option.nullable and value is None)
    return empty or bool(value == option.default)


def takes(options: type) -> Callable[[Function], Function]:
    """Decorate a function with `**options`: name them in its signature and docstring."""

    def decorate(function: Function) -> Function:
        known = declared(options)
        parameters = list(inspect.signature(function).parameters.values())
        if parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
            del parameters[-1]
        hints = _hints(options)
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=option.default,
                annotation=get_args(hints[name])[0],
            )
            for name, option in known.items()
        ]
        signature = inspect.signature(function).replace(parameters=parameters)
        function.__signature__ = signature  # type: ignore[attr-defined]
        lines = [f"- `{name}`: {option.help}" for name, option in known.items()]
        summary = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = summary + "\n\n" + "\n".join(lines)
        return function

    return decorate
