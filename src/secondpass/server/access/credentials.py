"""Where clients put their keys: each vendor's has its own header."""

from __future__ import annotations

from collections.abc import Mapping

_PLAIN = ("x-api-key", "x-auth-key", "x-auth-user-service-key", "api-key")
_SCHEMES = ("bearer", "token")
# KnowledgeSDK's clients refuse keys that do not begin so: it may stand before one of ours.
_VENDORS = ("sk_ks_", "knowledgesdk_live_", "knowledgesdk_test_", "knowledgesdk_")


def key_in(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, or None.

    `Authorization` with the scheme Bearer comes first, then the headers that carry nothing
    but a key. A vendor's prefix before it is left out.
    """
    word, _, key = headers.get("authorization", "").strip().partition(" ")
    if word.lower() in _SCHEMES and key.strip():
        return _own(key.strip())
    return next((_own(headers[name].strip()) for name in _PLAIN if headers.get(name)), None)


def _own(key: str) -> str:
    prefix = next((one for one in _VENDORS if key.startswith(one)), "")
    return key[len(prefix) :]
