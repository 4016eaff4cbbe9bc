"""Base URLs and API keys of remote servers, from arguments or the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from secondpass.errors import InputError


def find_base_url(
    title: str, base_url: str | None, variables: Sequence[str], default: str | None
) -> str:
    """Return the base URL from the argument, the environment or the default.

    `variables` are environment variables: the first that is set and not blank counts. The URL
    has no slash at its end. Raises `InputError` where there is none or it is not valid.
    """
    if base_url is None:
        values = (os.environ.get(v, "").strip() for v in variables)
        base_url = next((v for v in values if v), default)
    if base_url is None:
        raise InputError(
            f"{title} is self-hosted, and its base URL is missing",
            fix='Pass base_url="http://127.0.0.1:8080"'
            + (f", or set {variables[0]}." if variables else "."),
        )
    return check_base_url(title, base_url)


def check_base_url(title: str, base_url: object) -> str:
    """Return a base URL without a slash at its end, or raise `InputError`.

    It must be http or https, with a host, without query, fragment or user: a secret belongs in
    `api_key`, which is never shown.
    """
    if not isinstance(base_url, str):
        raise InputError(f"base_url must be text, not {type(base_url).__name__}")
    url = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        valid = valid and parts.port != 0 and "@" not in parts.netloc
        valid = valid and not parts.query and not parts.fragment
    except ValueError:
        valid = False
    if not valid:
        raise InputError(
            f"The base URL of {title} is not valid: {redact_url(url)!r}",
            fix='Write it as "https://host" or "http://127.0.0.1:8080/path".',
        )
    return url


def redact_url(url: str) -> str:
    """Return a URL without user, password and query, for messages."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "…"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


class ApiKey:
    """A secret that prints as stars; `reveal` is for the request header alone."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    def reveal(self) -> str | None:
        """Return the secret, or None if there is none."""
        return self._secret

    def redact(self, text: str) -> str:
        """Return a text with the secret replaced, for servers that echo it."""
        return text if self._secret is None else text.replace(self._secret, "***")

    def __repr__(self) -> str:
        return "ApiKey(none)" if self._secret is None else "ApiKey(***)"

    def __reduce__(self) -> tuple[type, tuple[None]]:
        # A pickle must not carry the secret to wherever the pickle goes.
        return ApiKey, (None,)


def find_key(
    title: str, api_key: str | None, variables: Sequence[str], required: bool
) -> ApiKey:
    """Return the key from the argument or the environment.

    Raises `InputError`, without the key in it, if it is required and missing, or has
    characters that an HTTP header cannot hold.
    """
    source = "api_key"
    if api_key is None:
        source = next((v for v in variables if os.environ.get(v, "").strip()), source)
        api_key = os.environ.get(source)
    if api_key is not None and not isinstance(api_key, str):
        raise InputError(f"api_key must be text, not {type(api_key).__name__}")
    secret = None if api_key is None else api_key.strip()
    if not secret:
        if required:
            raise InputError(
                f"{title} needs an API key",
                why="api_key was not passed"
                + (f" and {' or '.join(variables)} is not set" if variables else ""),
                fix=f"Run: export {variables[0]}=…, or pass api_key=…"
                if variables
                else "Pass api_key=…",
            )
        return ApiKey(None)
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InputError(
            f"The API key for {title} is not valid in an HTTP header",
            where=source,
            why="it has spaces or characters outside ASCII",
            fix="Copy it again, without quotes or line breaks.",
        )
    return ApiKey(secret)
