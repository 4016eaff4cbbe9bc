"""The metadata that comes with a file: read, and told what of it cannot be filtered on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.server.cloudflare.fields import RESERVED, Field, kept
from secondpass.server.http_errors import invalid

_LONGEST = 10_000


def read_metadata(text: str) -> dict[str, str | float | bool]:
    """Return the object in a JSON text; raises Problem (400).

    Values are texts, finite numbers and booleans; null counts as absent.
    """
    if len(text) > _LONGEST:
        raise invalid(f"metadata is longer than {_LONGEST:,} characters")
    try:
        found = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise invalid("metadata is not JSON") from None
    if not isinstance(found, dict):
        raise invalid("metadata is not a JSON object")
    for name, value in found.items():
        if not isinstance(value, str | int | float | bool | None):
            raise invalid(f"metadata.{name[:100]} must be a string, a number or a boolean")
        if isinstance(value, int | float) and abs(value) > 1e300:
            raise invalid(f"metadata.{name[:100]} is too large a number")
    return {
        clean(name): clean(value) if isinstance(value, str) else value
        for name, value in found.items()
        if value is not None
    }


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def warnings(fields: Mapping[str, Field], given: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return which of the values filters will not see."""
    found: list[dict[str, str]] = []
    for name, value in given.items():
        field = fields.get(name.lower())
        if field is None or field.name in RESERVED:
            found.append({"code": "custom_metadata_field_not_filterable", "field": name})
        elif kept(field.kind, value) is None:
            found.append(
                {
                    "code": "custom_metadata_value_not_indexed",
                    "field": name,
                    "expected_type": field.kind,
                }
            )
    return found
