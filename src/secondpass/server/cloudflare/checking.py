"""Bodies and queries checked against typed descriptions of what may stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from secondpass.inference.unicode import clean
from secondpass.server.http_errors import invalid

T = TypeVar("T")
_LONGEST = 1000


class Form(Generic[T]):
    """What a JSON object may hold: a TypedDict whose keys are all optional.

    Nothing is converted: "5" is no number. Unknown keys are left out, and so is null.
    """

    def __init__(self, kind: type[T]) -> None:
        self._adapter: Any = TypeAdapter(kind)
        self._names = tuple(kind.__annotations__)

    def read(self, found: Mapping[str, Any]) -> T:
        """Return what was sent; raises Problem (400), naming what cannot be used."""
        known = {name: found[name] for name in self._names if name in found}
        try:
            read: T = self._adapter.validate_python(_plain(known), strict=True)
        except ValidationError as error:
            told = "; ".join(f"{_place(one['loc'])}: {one['msg']}" for one in error.errors())
            raise invalid(clean(told)[:_LONGEST]) from None
        return read


def _plain(value: Any) -> Any:
    """Return the value without nulls in objects and without halves of characters."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {clean(k): _plain(v) for k, v in value.items() if v is not None}
    return value


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) if location else "the body"


def whole(
    query: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int
) -> int:
    """Return a number of a query string, at most `most`; raises Problem (400)."""
    given = query.get(name)
    if given is None or given == "":
        return default
    if not (given.isascii() and given.isdigit()) or len(given) > 9 or int(given) < least:
        raise invalid(f"{name} must be a whole number from {least} up, not {given[:50]!r}")
    return min(int(given), most)
