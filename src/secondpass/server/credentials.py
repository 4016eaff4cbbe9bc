"""Where clients put their keys: each vendor's has its own header."""

from __future__ import annotations

from collections.abc import Mapping

_PLAIN = ("x-api-key", "x-auth-key", "x-auth-user-service-key", "api-key")
_SCHEMES = ("bearer", "token")


def key_in(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, or None.

    `Authorization` with the scheme Bearer comes first, then the headers that carry nothing
    but a key.
    """
    word, _, key = headers.get("authorization", "").strip().partition(" ")
    if word.lower() in _SCHEMES and key.strip():
        return key.strip()
    return next((headers[name].strip() for name in _PLAIN if headers.get(name)), None)
