"""Keys: from arguments or the environment, never shown.

Addresses: from arguments or the environment, shown without what is secret in them.

The HTTP library, loaded when the first server is asked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

from secondpass.errors import InputError, MissingExtraError


def find_base_url(
    title: str, given: str | None, variables: Sequence[str], default: str | None
) -> str:
    """Return the base URL without a slash at its end, or raise `InputError`."""
    if given is None:
        found = (os.environ.get(v, "").strip() for v in variables)
        given = next((v for v in found if v), default)
    if given is None:
        raise InputError(
            f"{title} runs where you say: its base URL is missing",
            fix='Pass base_url="http://127.0.0.1:8080"'
            + (f", or set {variables[0]}." if variables else "."),
        )
    return check_base_url(title, given)


def check_base_url(title: str, given: object) -> str:
    """Return a base URL without a slash at its end; raises `InputError` if it is none.

    It is http or https, with a host, without query and fragment, and without a user: a
    secret goes into `api_key`, which is never shown.
    """
    if not isinstance(given, str):
        raise InputError(f"base_url must be text, not {type(given).__name__}")
    url = given.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname)
        sound = sound and parts.port != 0 and "@" not in parts.netloc
        sound = sound and not parts.query and not parts.fragment
    except ValueError:
        sound = False
    if not sound:
        raise InputError(
            f"The base URL of {title} is not one: {shown(url)!r}",
            fix='Write it as "https://host" or "http://127.0.0.1:8080/path".',
        )
    return url


def shown(url: str) -> str:
    """Return a URL without user, password and query, for messages."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "…"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def load_httpx(purpose: str, extra: str) -> ModuleType:
    """Return httpx2, or raise `MissingExtraError` naming the purpose and the extra.

    huggingface-hub brings it, so it is missing only where somebody took it away.
    """
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtraError(purpose, package="httpx2", extra=extra) from error
    return httpx2


class ApiKey:
    """A secret that prints as stars; `reveal` is for the header alone."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    def reveal(self) -> str | None:
        """Return the secret itself, or None if there is none."""
        return self._secret

    def redact(self, text: str) -> str:
        """Return a text with the secret replaced, for servers that echo it."""
        return text if self._secret is None else text.replace(self._secret, "***")

    def __repr__(self) -> str:
        return "Key(none)" if self._secret is None else "Key(***)"

    def __reduce__(self) -> tuple[type, tuple[None]]:
        # What is pickled must not carry a secret to wherever the pickle goes.
        return ApiKey, (None,)


def find_key(title: str, given: str | None, variables: Sequence[str], needed: bool) -> ApiKey:
    """Return the key that was given or stands in the environment.

    Raises `InputError`, without the key in it, if it is needed and missing or cannot
    stand in a header.
    """
    source = "api_key"
    if given is None:
        source = next((v for v in variables if os.environ.get(v, "").strip()), source)
        given = os.environ.get(source)
    if given is not None and not isinstance(given, str):
        raise InputError(f"api_key must be text, not {type(given).__name__}")
    secret = None if given is None else given.strip()
    if not secret:
        if needed:
            raise InputError(
                f"{title} needs a key",
                why="none was given"
                + (f" and {' or '.join(variables)} is not set" if variables else ""),
                fix=f"Run: export {variables[0]}=…, or pass api_key=…"
                if variables
                else "Pass api_key=…",
            )
        return ApiKey(None)
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InputError(
            f"The key for {title} cannot stand in a header",
            where=source,
            why="it has spaces or characters outside ASCII",
            fix="Copy it again, without quotes or line breaks.",
        )
    return ApiKey(secret)
