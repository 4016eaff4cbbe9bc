"""Keys: from arguments or the environment, never shown."""

from __future__ import annotations

import os
from collections.abc import Sequence

from secondpass.errors import InputError


class Key:
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
        return Key, (None,)


def find_key(title: str, given: str | None, variables: Sequence[str], needed: bool) -> Key:
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
        return Key(None)
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InputError(
            f"The key for {title} cannot stand in a header",
            where=source,
            why="it has spaces or characters outside ASCII",
            fix="Copy it again, without quotes or line breaks.",
        )
    return Key(secret)
