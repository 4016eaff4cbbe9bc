"""Endpoints of namespaces, and of service tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from secondpass.server.cloudflare.context import ApiRequest
from secondpass.server.cloudflare.namespaces import (
    DEFAULT_NAMESPACE,
    check_name,
    namespace_json,
)
from secondpass.server.cloudflare.responses import CodedError, NotRetryableError, not_found, ok
from secondpass.server.cloudflare.schemas import (
    NamespaceBody,
    PublicEndpointSettings,
    Schema,
)
from secondpass.server.http_errors import HttpError, invalid

_SCHEMA = Schema(NamespaceBody)
_UNKNOWN_INSTANCES = 7097
_PROPERTIES = ("description", "public_endpoint_params")


def create_namespace(request: ApiRequest) -> Any:
    """Create a namespace."""
    body = _SCHEMA.parse(request.body)
    if "name" not in body:
        raise invalid("name is missing")
    name = check_name("name", body["name"])
    properties = _parse_properties(request, body, name)
    namespaces, endpoints = request.app.namespaces, request.app.public_endpoints
    with endpoints.changes:
        endpoints.check_domains(_endpoint_params(properties), None)
        return ok(namespace_json(namespaces.create(request.tenant, name, **properties)))


def list_namespaces(request: ApiRequest) -> Any:
    """Return a page of the namespaces."""
    text = request.query.get("search", "").lower()
    rows = [
        namespace_json(record)
        for record in request.app.namespaces.list_namespaces(request.tenant)
        if text in record["name"] or text in (record["description"] or "").lower()
    ]
    return request.paginate(rows)


def get_namespace(request: ApiRequest) -> Any:
    """Return one namespace."""
    return ok(namespace_json(request.app.namespaces.get(request.tenant, request.namespace)))


def update_namespace(request: ApiRequest) -> Any:
    """Change the properties in the body; null removes one."""
    name = request.namespace
    properties = _parse_properties(request, _SCHEMA.parse(request.body), name)
    for key in _PROPERTIES:
        if key in request.body and request.body[key] is None:
            properties[key] = None
    namespaces, endpoints = request.app.namespaces, request.app.public_endpoints
    with endpoints.changes:
        own = namespaces.get(request.tenant, name)["public_endpoint_id"]
        endpoints.check_domains(_endpoint_params(properties), own)
        return ok(namespace_json(namespaces.update(request.tenant, name, **properties)))


def delete_namespace(request: ApiRequest) -> Any:
    """Delete a namespace without instances."""
    name = request.namespace
    if name == DEFAULT_NAMESPACE:
        raise HttpError(400, "invalid", f"the namespace {name!r} cannot be deleted")
    if request.app.list_instances(request.tenant, name):
        raise NotRetryableError(
            409, "exists", f"the namespace {name!r} has instances: delete them first"
        )
    return ok(namespace_json(request.app.namespaces.delete(request.tenant, name)))


def _parse_properties(request: ApiRequest, body: NamespaceBody, name: str) -> dict[str, Any]:
    sent: Mapping[str, Any] = body
    properties = {key: sent[key] for key in _PROPERTIES if key in sent}
    allowed = body.get("public_endpoint_params", {}).get("instances_allowed", [])
    if allowed:
        existing = {i.name for i in request.app.list_instances(request.tenant, name)}
        unknown = [instance for instance in allowed if instance not in existing]
        if unknown:
            raise CodedError(
                400,
                _UNKNOWN_INSTANCES,
                f"instances_allowed_contains_unknown_instances: {', '.join(unknown)[:200]}",
            )
    return properties


def _endpoint_params(properties: Mapping[str, Any]) -> PublicEndpointSettings:
    return cast(PublicEndpointSettings, properties.get("public_endpoint_params") or {})


def list_tokens(request: ApiRequest) -> Any:
    """Return an empty page: this server needs no service tokens to read its data."""
    return request.paginate([])


def reject_token(request: ApiRequest) -> Any:
    """Raise HttpError: 404 for the token in the path, 400 for creating one."""
    name = request.path_param("token")
    if name is not None:
        raise not_found(f"token {name!r}")
    raise HttpError(400, "invalid", "this server needs no service tokens and creates none")
