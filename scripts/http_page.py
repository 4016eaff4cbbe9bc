"""The page of the server's own interface, and its OpenAPI document, from the server itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from secondpass.server.app import create_app
from secondpass.server.settings import ServerSettings

_VERBS = ("get", "post", "put", "patch", "delete")
_ORDER = ("rerank", "search", "indexes")


def document() -> dict[str, Any]:
    """Return the OpenAPI document that a server gives at /api/v1/openapi.json."""
    found: dict[str, Any] = create_app(ServerSettings()).openapi()
    return found


def openapi() -> str:
    """Return docs/reference/openapi.json."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def page(note: str) -> str:
    """Return docs/reference/http.md."""
    found = document()
    schemas: Mapping[str, Any] = found["components"]["schemas"]
    lines = [
        "# HTTP",
        note,
        "The server's own interface, under `/api/v1`. The same as an OpenAPI document:"
        " [openapi.json](openapi.json), or `/api/v1/openapi.json` of a running server. How to"
        " start one, and which other dialects it speaks, is in"
        " [serve](../how-to/serve.md). Requests and answers are JSON; a key goes into the"
        " header `Authorization: Bearer KEY`.",
    ]
    routes = [
        (path, verb, about)
        for path, verbs in found["paths"].items()
        for verb, about in verbs.items()
        if verb in _VERBS
    ]
    routes.sort(key=lambda r: (_ORDER.index(r[2]["tags"][0]), r[0], r[1]))
    for path, verb, about in routes:
        lines += [f"## {verb.upper()} {path}", about["description"]]
        for parameter in about.get("parameters", ()):
            kind = _kind(parameter["schema"])
            lines.append(f"- `{parameter['name']}` ({parameter['in']}): {kind}")
        body = about.get("requestBody")
        if body is not None:
            lines.append(f"Takes {_kind(_json(body))}.")
        good = next(code for code in about["responses"] if code.startswith("2"))
        lines.append(f"Answers {good} with {_kind(_json(about['responses'][good]))}.")
    lines.append("# Errors")
    lines.append(
        "Any other status comes with a [Failure](#failure): 400 for what cannot be used, 401"
        " without a key, 403 for what a key is not for, 404, 409 for what is there already,"
        " 413 for too long a body, 429 when there is too much to do or a key asks too often,"
        " 503 while the server starts or stops, 504 for what was not done in time. 429 and"
        " 503 say in `Retry-After` when to come back."
    )
    lines.append("# Objects")
    for name, schema in sorted(schemas.items()):
        lines += [f"## {name}", " ".join(schema["description"].split())]
        lines.append(_table(schema))
    return "\n\n".join(lines) + "\n"


def _json(content: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = content["content"]["application/json"]["schema"]
    return found


def _table(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = ["| field | type | default |", "|---|---|---|"]
    for name, about in schema["properties"].items():
        default = "" if name in required else f"`{json.dumps(about.get('default'))}`"
        if name not in required and "default" not in about:
            default = "empty"
        rows.append(f"| `{name}` | {_kind(about)} | {default} |")
    return "\n".join(rows)


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f'`"{one}"`' for one in schema["enum"])
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {_kind(schema['prefixItems'][0])}"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    limits = (
        "" if low is None else f" from {low:g} up" if high is None else f" {low:g} to {high:g}"
    )
    return f"{schema.get('type', 'anything')}{limits}"


__all__ = ["document", "openapi", "page"]
