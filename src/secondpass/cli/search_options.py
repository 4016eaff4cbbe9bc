"""Command-line options generated from the options that the library declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from secondpass.errors import InputError
from secondpass.option_types import Count, Flag, Names, Number, Option, Texts, offered

Command = TypeVar("Command", bound=Callable[..., None])

# Options whose command-line form is a switch, though other interfaces take more.
_SWITCHES = ("rerank", "blend", "cache")


def takes_options(options: type) -> Callable[[Command], Command]:
    """Decorate a command with `**typed`: give it the options that a `TypedDict` declares.

    `chosen_options` converts the values that the command gets to arguments of the library.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
        parameters += [
            _parameter(name, option) for name, option in offered(options, "cli").items()
        ]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def chosen_options(options: type, typed: Mapping[str, Any]) -> dict[str, Any]:
    """Convert command-line values to arguments of the library; raises `InputError`."""
    known = offered(options, "cli")
    return {name: _value(name, known[name], value) for name, value in typed.items()}


def _parameter(name: str, option: Option) -> inspect.Parameter:
    annotation, default = _type(name, option)
    info = typer.Option(*option.flags, help=option.help)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, info],
    )


def _type(name: str, option: Option) -> tuple[Any, Any]:
    """Return the type that typer reads, and the default."""
    if name in _SWITCHES or isinstance(option.kind, Flag):
        return bool, option.default
    if name == "on_failure":
        return bool, option.default == "fallback"
    if name == "calibration":
        return Path | None, None
    if isinstance(option.kind, Texts):
        return list[str] | None, None
    if name == "weights" or isinstance(option.kind, Names):
        return str | None, None
    kind: Any = str
    if isinstance(option.kind, Count):
        kind = int
    elif isinstance(option.kind, Number):
        kind = float
    return (kind, option.default) if option.default is not None else (kind | None, None)


def _value(name: str, option: Option, value: Any) -> Any:
    if name == "on_failure":
        return "fallback" if value else "raise"
    if value is None:
        return option.default
    if name == "weights":
        return _weights(value)
    if isinstance(option.kind, Texts):
        return tuple(value)
    if isinstance(option.kind, Names):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _weights(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--weights cannot be {text!r}", fix="Give two numbers, as in --weights 0.3,0.7"
        ) from None
