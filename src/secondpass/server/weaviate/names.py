"""Names of classes and properties, and ids of objects, by the rules of the database."""

from __future__ import annotations

import re
import uuid

from secondpass.server.weaviate.responses import refused

# A class has a folder of its name, so it is shorter than the database's 255.
_CLASS = re.compile(r"[A-Z][_0-9A-Za-z]{0,99}")
_PROPERTY = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]{0,230}")
_RESERVED = ("_additional", "id", "_id", "_creationTimeUnix", "_lastUpdateTimeUnix")


def class_name(text: object) -> str:
    """Return the name of a class, its first letter made large; raises Problem (422)."""
    name = text[:1].upper() + text[1:] if isinstance(text, str) else ""
    if not _CLASS.fullmatch(name):
        raise refused(
            f"{str(text)[:80]!r} is not a valid class name: a letter, then up to 99 letters, "
            "digits and underscores"
        )
    return name


def property_name(text: object) -> str:
    """Return the name of a property, its first letter made small; raises Problem (422)."""
    name = text[:1].lower() + text[1:] if isinstance(text, str) else ""
    if not _PROPERTY.fullmatch(name):
        raise refused(
            f"{str(text)[:80]!r} is not a valid property name: a letter or an underscore, then "
            "up to 230 letters, digits and underscores"
        )
    if name in _RESERVED:
        raise refused(f"{name!r} is a reserved property name")
    return name


def object_id(value: object) -> str:
    """Return a UUID in its usual form; raises Problem (422)."""
    try:
        return str(uuid.UUID(value if isinstance(value, str) else ""))
    except ValueError:
        raise refused(f"{str(value)[:80]!r} is not a valid UUID") from None
