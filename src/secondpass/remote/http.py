"""The HTTP library, loaded when the first server is asked."""

from __future__ import annotations

from types import ModuleType

from secondpass.errors import MissingExtraError


def load_httpx(purpose: str, extra: str) -> ModuleType:
    """Return httpx2, or raise `MissingExtraError` naming the purpose and the extra.

    huggingface-hub brings it, so it is missing only where somebody took it away.
    """
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtraError(purpose, package="httpx2", extra=extra) from error
    return httpx2
