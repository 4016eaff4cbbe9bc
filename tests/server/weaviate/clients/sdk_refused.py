"""What the scripts of the clients share; it imports no client, since each has another one."""

from __future__ import annotations

from typing import Any


def error_of(kind: type[Exception], do: Any, *arguments: Any, **options: Any) -> Any:
    """Do what must be refused and return the client's exception."""
    try:
        do(*arguments, **options)
    except kind as caught:
        return caught
    raise AssertionError(f"nothing raised {kind.__name__}")
