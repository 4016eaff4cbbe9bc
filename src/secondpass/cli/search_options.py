"""Command-line options generated from the options that the library declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from secondpass.errors import InputError
from secondpass.option_types import Count, Flag, Names, Number, Option, offered

Command = TypeVar("Command", bound=Callable[..., None])

LOAD_OPTIONS = ("precision", "calibration_pairs")
"""How a model is loaded, for commands that measure models."""

# Options whose command-line form is a switch, though other interfaces take more.
_SWITCHES = ("rerank", "blend", "cache", "spans")


def takes_options(
    options: type, only: Collection[str] | None = None
) -> Callable[[Command], Command]:
    """Decorate a command with `**typed`: give it the options that a `TypedDict` declares.

    `only`: their names, if the command takes some of them. `chosen_options` converts the
    values that the command gets to arguments of the library.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters]
        parameters += [
            _parameter(name, option)
            for name, option in offered(options, "cli").items()
            if only is None or name in only
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
    if name in ("calibration", "calibration_pairs"):
        return Path | None, None
    if option.repeated:
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
    if isinstance(option.kind, Names) and not option.repeated:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _weights(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--weights cannot be {text!r}", fix="Give two numbers, as in --weights 0.3,0.7"
        ) from None
