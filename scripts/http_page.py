"""The reference page of the native HTTP interface, and its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from secondpass.server.app import create_app
from secondpass.server.settings import ServerSettings

_VERBS = ("get", "post", "put", "patch", "delete")
_ORDER = ("server", "rerank", "search", "indexes", "evaluation")


def document() -> dict[str, Any]:
    """Return the OpenAPI document that a server returns at /api/v1/openapi.json."""
    schema: dict[str, Any] = create_app(ServerSettings()).openapi()
    return schema


def openapi() -> str:
    """Return docs/reference/openapi.json."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def page(note: str) -> str:
    """Return docs/reference/http.md."""
    openapi_document = document()
    schemas: Mapping[str, Any] = openapi_document["components"]["schemas"]
    lines = [
        "# HTTP",
        note,
        "The server's native interface, under `/api/v1`. As an OpenAPI document:"
        " [openapi.json](openapi.json), or `/api/v1/openapi.json` of a running server. How to"
        " start a server, and which other APIs it is compatible with:"
        " [serve](../how-to/serve.md). Requests and responses are JSON. Send an API key in"
        " the header `Authorization: Bearer KEY`.",
    ]
    routes = [
        (path, verb, operation)
        for path, verbs in openapi_document["paths"].items()
        for verb, operation in verbs.items()
        if verb in _VERBS
    ]
    routes.sort(key=lambda r: (_ORDER.index(r[2]["tags"][0]), r[0], r[1]))
    for path, verb, operation in routes:
        lines += [f"## {verb.upper()} {path}", operation["description"]]
        for parameter in operation.get("parameters", ()):
            kind = _kind(parameter["schema"])
            lines.append(f"- `{parameter['name']}` ({parameter['in']}): {kind}")
        body = operation.get("requestBody")
        if body is not None:
            lines.append(f"Request body: {_content(body)}.")
        status = next(code for code in operation["responses"] if code.startswith("2"))
        response = operation["responses"][status]
        lines.append(f"Response {status}: {_content(response)}.")
    lines.append("# Errors")
    lines.append(
        "Any other status has the body [Failure](#failure): 400 for an invalid request, 401"
        " for a missing or unknown key, 403 for a key without the scope, 404 for an index or"
        " path that does not exist, 409 for an index that already exists, 413 for a body that"
        " is too large, 429 for a full queue or a key over its rate limit, 503 while the"
        " server starts or stops, 504 for a request that missed its deadline. 429 and 503"
        " have the header `Retry-After`."
    )
    lines.append("# Objects")
    for name, schema in sorted(schemas.items()):
        lines += [f"## {name}", " ".join(schema["description"].split())]
        lines.append(_table(schema))
    return "\n\n".join(lines) + "\n"


def _content(body: Mapping[str, Any]) -> str:
    """Return what a body is, with its media type where that is not JSON."""
    media_type, content = next(iter(body["content"].items()))
    kind = _kind(content["schema"])
    if media_type == "application/json":
        return kind
    return f"`{media_type}`" if kind == "string" else f"`{media_type}` of {kind}"


def _table(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = ["| field | type | default |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "" if name in required else f"`{json.dumps(field.get('default'))}`"
        if name not in required and "default" not in field:
            default = "empty"
        rows.append(f"| `{name}` | {_kind(field)} | {default} |")
    return "\n".join(rows)


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f'`"{value}"`' for value in schema["enum"])
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
