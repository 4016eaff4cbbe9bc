"""Keys: taken from arguments or the environment, and kept out of everything that is shown."""

from __future__ import annotations

import os

from secondpass.errors import InputError


class Key:
    """A secret, or none; it shows itself only to who asks by `reveal`."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret

    def reveal(self) -> str | None:
        """Return the secret itself."""
        return self._secret

    def redact(self, text: str) -> str:
        """Return a text in which the secret does not stand, such as a server's message."""
        return text if not self._secret else text.replace(self._secret, "…")

    def __repr__(self) -> str:
        return "Key(…)" if self._secret else "Key(None)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not to be stored")


def find_key(given: str | None, variable: str, *, needed: bool, provider: str) -> Key:
    """Return the key that was given, or that of the environment variable.

    Raises `InputError` for one that is needed and not there, or cannot stand in a header.
    """
    secret = os.environ.get(variable) if given is None else given
    secret = None if secret is None else secret.strip()
    if secret and not (secret.isascii() and secret.isprintable()):
        raise InputError(
            f"The key of {provider} cannot be used",
            why="it holds characters that no HTTP header may hold",
            fix=f"Set {variable} again.",
        )
    if needed and not secret:
        raise InputError(
            f"{provider} needs a key",
            why=f"neither api_key nor the environment variable {variable} holds one",
            fix=f"Run: export {variable}=…",
        )
    return Key(secret if secret else None)
