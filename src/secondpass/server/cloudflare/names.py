"""How namespaces and instances may be called, and where their collections are."""

from __future__ import annotations

import re

from secondpass.server.http_errors import invalid
from secondpass.server.index_catalog import Place

DEFAULT = "default"
"""The namespace that everybody has."""
RECORD = "cloudflare"
"""What of a collection's own JSON is this dialect's."""
_PREFIX = "cloudflare-"
_NAME = re.compile(r"[a-z0-9_]+(?:-[a-z0-9_]+)*")
_LONGEST = 64


def check_name(what: str, name: str) -> str:
    """Return the name; raises Problem (400) for one that cannot be."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise invalid(
            f"{what} must be 1 to {_LONGEST} small letters, digits and underscores, with "
            f"single hyphens between them, not {name[:100]!r}"
        )
    return name


def place(tenant: str, namespace: str, name: str) -> Place:
    """Return where the collection of an instance is."""
    return Place(tenant, _PREFIX + namespace, name)


def namespace_of(folder: str) -> str | None:
    """Return which namespace a collection's namespace stands for, or None."""
    return folder.removeprefix(_PREFIX) if folder.startswith(_PREFIX) else None
