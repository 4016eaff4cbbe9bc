"""Names of classes and properties, and ids of objects, by Weaviate's rules."""

from __future__ import annotations

import re
import uuid

from secondpass.server.weaviate.errors import unprocessable

# A class is stored in a folder of its name, so names are shorter than Weaviate's 255.
_CLASS = re.compile(r"[A-Z][_0-9A-Za-z]{0,99}")
_PROPERTY = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]{0,230}")
_RESERVED = ("_additional", "id", "_id", "_creationTimeUnix", "_lastUpdateTimeUnix")


def parse_class_name(value: object) -> str:
    """Return a class name with its first letter capitalized; raises HttpError (422)."""
    name = value[:1].upper() + value[1:] if isinstance(value, str) else ""
    if not _CLASS.fullmatch(name):
        raise unprocessable(
            f"{str(value)[:80]!r} is not a valid class name: a letter, then up to 99 letters, "
            "digits and underscores"
        )
    return name


def parse_property_name(value: object) -> str:
    """Return a property name with its first letter in lower case; raises HttpError (422)."""
    name = value[:1].lower() + value[1:] if isinstance(value, str) else ""
    if not _PROPERTY.fullmatch(name):
        raise unprocessable(
            f"{str(value)[:80]!r} is not a valid property name: a letter or an underscore, "
            "then up to 230 letters, digits and underscores"
        )
    if name in _RESERVED:
        raise unprocessable(f"{name!r} is a reserved property name")
    return name


def parse_uuid(value: object) -> str:
    """Return a UUID in its canonical form; raises HttpError (422)."""
    try:
        return str(uuid.UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise unprocessable(f"{str(value)[:80]!r} is not a valid UUID") from None
