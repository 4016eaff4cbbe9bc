"""The reference page of request fields, from the declarations of every API of the server."""

from __future__ import annotations

from collections.abc import Mapping

from secondpass.server.app import create_app
from secondpass.server.request_fields import (
    Honored,
    RequestField,
    RequestFields,
    served_fields,
)
from secondpass.server.settings import ServerSettings


def page(note: str) -> str:
    """Return docs/reference/request-fields.md."""
    served = served_fields(create_app(ServerSettings()))
    lines = [
        "# Request fields",
        note,
        "Every field that the compatible APIs publish for a request body, and what happens to"
        " it here. A test sends each of them to a server.",
        "\n".join(
            [
                "- **honored**: it acts.",
                "- **refused**: status 400 with the reason, as the reply would be another than"
                " the one that was asked for. Values that ask for nothing are accepted.",
                "- **no effect**: it is accepted, because it has nothing to change here. The"
                " header `X-Ignored-Fields` of the response names it.",
                "- **unknown** fields are ignored and named in the same header, unless the"
                " table of an API says that they are refused. `null` counts as absent.",
            ]
        ),
        "`X-Warnings` says in sentences what was ignored, and what of the query and the"
        " documents was not read. Cohere's replies have the same in `meta.warnings`, other"
        " objects in `warnings`.",
        'Unless an API is called strict, booleans and numbers may be strings (`"true"`,'
        ' `"3"`), and 1 and 0 are booleans, as some clients send them.',
        "A path of several APIs takes the one that has all fields of the body, and for which"
        " none is missing that it requires. Fields that belong to different APIs are an error"
        " (400) that names a path of each.",
        "The native interface is strict: every field acts, and others are refused; it is"
        " described in [HTTP](http.md). Weaviate's database interface is in"
        " [serve Weaviate](../how-to/serve-weaviate.md), MCP's in"
        " [serve MCP](../how-to/serve-mcp.md).",
    ]
    for fields, paths in sorted(served.items(), key=lambda item: item[0].api):
        lines += [f"## {fields.api}", _about(fields, paths), _table(fields.fields)]
    return "\n\n".join(lines) + "\n"


def _about(fields: RequestFields, paths: list[str]) -> str:
    rules = []
    if not fields.lenient:
        rules.append("strict types")
    if fields.unknown == "refused":
        rules.append("unknown fields are refused")
    text = ", ".join(f"`{path}`" for path in paths)
    return f"{text}. {'; '.join(rules).capitalize()}." if rules else f"{text}."


def _table(fields: Mapping[str, RequestField]) -> str:
    rows = ["| field | here | what it does, or why not |", "|---|---|---|"]
    rows += [
        f"| `{name}` | {_treatment(field)} | {field.text} |" for name, field in fields.items()
    ]
    return "\n".join(rows)


def _treatment(field: RequestField) -> str:
    required = isinstance(field, Honored) and field.required
    return f"{field.treatment}, required" if required else field.treatment


__all__ = ["page"]
