"""Request schemas: the bodies and query parameters of REST and of GraphQL over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondpass.server.http_json import Body
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.get_query import parse_page
from secondpass.server.weaviate.names import parse_class_name, parse_uuid

# REST lists fewer objects than GraphQL by default, as in Weaviate.
_DEFAULT_LIMIT = 10
_OUTPUTS = ("minimal", "verbose")


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """A GraphQL document with the values of its variables."""

    query: str
    variables: Mapping[str, Any]
    operation: str | None


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request to list the objects of a class, or of all classes for `class_name` None.

    `arguments` are further arguments of `Get`, by their names in GraphQL.
    """

    class_name: str | None
    offset: int
    limit: int
    vectors: bool
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """A request to replace, merge or delete the object in the path; `body` is its JSON."""

    class_name: str
    id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BatchDelete:
    """A request to delete the objects of a class that pass a filter.

    `match` is the JSON that is sent back; `arguments` adds the tenant in the URL.
    """

    match: Mapping[str, Any]
    arguments: Mapping[str, Any]
    output: str
    dry_run: bool


def parse_graphql_request(body: Body) -> GraphQLRequest:
    """Parse the body of a GraphQL request; raises HttpError (422)."""
    query, variables = body.found.get("query"), body.found.get("variables")
    operation = body.found.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise unprocessable("query cannot be empty")
    if not isinstance(variables, dict | None) or not isinstance(operation, str | None):
        raise unprocessable("variables must be an object, and operationName a string")
    return GraphQLRequest(query, variables or {}, operation or None)


def parse_batch(body: Body) -> list[Any]:
    """Return the objects of a batch, not validated; raises HttpError (422) for none."""
    objects = body.items("objects")
    if not objects:
        raise unprocessable("objects cannot be empty")
    return objects


def parse_batch_delete(body: Body, params: Mapping[str, str]) -> BatchDelete:
    """Parse the body of a batch delete; raises HttpError (422)."""
    match, dry_run = body.found.get("match"), body.flag("dryRun")
    output = body.text("output", "minimal")
    if not isinstance(match, dict):
        raise unprocessable("match must be an object")
    if output not in _OUTPUTS:
        raise unprocessable(f"output must be one of {', '.join(_OUTPUTS)}, not {output!r:.80}")
    return BatchDelete(match, {**match, "tenant": params.get("tenant")}, output, dry_run)


def parse_list_request(params: Mapping[str, str]) -> ListRequest:
    """Parse the query parameters of a list of objects; raises HttpError (422)."""
    offset, limit = parse_page(_parse_integers(params), default=_DEFAULT_LIMIT)
    class_name, after, sort = params.get("class"), params.get("after"), _parse_sort(params)
    if class_name is None and (after is not None or sort):
        raise unprocessable("sort and after need a class")
    arguments = {"tenant": params.get("tenant"), "sort": sort, "after": after}
    return ListRequest(class_name, offset, limit, wants_vector(params), arguments)


def wants_vector(params: Mapping[str, str]) -> bool:
    """Return whether the `include` parameter names the vector."""
    return "vector" in params.get("include", "").split(",")


def check_tenant(params: Mapping[str, str]) -> None:
    """Raise HttpError (422) for a tenant: each API key has its own, and there are no others."""
    if params.get("tenant"):
        raise unprocessable("multi-tenancy is disabled, but request was with tenant")


def parse_object_change(
    path: Mapping[str, str], params: Mapping[str, str], body: Mapping[str, Any]
) -> ObjectChange:
    """Parse a request that changes one object; raises HttpError (422).

    `path` has the parts of the path, `params` the query parameters.
    """
    check_tenant(params)
    id_, name = parse_uuid(path["id"]), path["name"]
    class_name = body.get("class")
    if class_name is not None and parse_class_name(class_name) != parse_class_name(name):
        raise unprocessable("the class of the object is not that of the path")
    return ObjectChange(name, id_, body)


def _parse_integers(params: Mapping[str, str]) -> dict[str, int]:
    integers = {}
    for name in ("offset", "limit"):
        if name in params:
            try:
                integers[name] = int(params[name])
            except ValueError:
                raise unprocessable(
                    f"{name} must be a number, not {params[name]!r:.80}"
                ) from None
    return integers


def _parse_sort(params: Mapping[str, str]) -> list[dict[str, Any]] | None:
    if not params.get("sort"):
        return None
    names, orders = params["sort"].split(","), params.get("order", "").split(",")
    orders += ["asc"] * (len(names) - len(orders))
    if any(order not in ("asc", "desc", "") for order in orders):
        raise unprocessable(f"order must be asc or desc, not {params['order']!r:.80}")
    return [
        {"path": [name], "order": order} for name, order in zip(names, orders, strict=False)
    ]
