"""Addresses: from arguments or the environment, shown without what is secret in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

from secondpass.errors import InputError


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
