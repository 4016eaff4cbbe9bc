"""The endpoints for namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.server.cloudflare.context import CloudflareCall
from secondpass.server.cloudflare.namespaces import DEFAULT, check_name, shown
from secondpass.server.cloudflare.responses import ErrorCode, Final, ok
from secondpass.server.cloudflare.schemas import Form, NamespaceForm
from secondpass.server.http_errors import HttpError, invalid

_FORM = Form(NamespaceForm)
_UNKNOWN_INSTANCES = 7097


def create(call: CloudflareCall) -> Any:
    """Make a namespace."""
    sent = _FORM.read(call.body)
    if "name" not in sent:
        raise invalid("name is missing")
    name = check_name("name", sent["name"])
    return ok(shown(call.hub.book.create(call.tenant, name, **_said(call, sent, name))))


def list_them(call: CloudflareCall) -> Any:
    """Return a page of the namespaces."""
    part = call.query.get("search", "").lower()
    found = [
        shown(record)
        for record in call.hub.book.listed(call.tenant)
        if part in record["name"] or part in (record["description"] or "").lower()
    ]
    return call.paged(found)


def get(call: CloudflareCall) -> Any:
    """Return one namespace."""
    return ok(shown(call.hub.book.get(call.tenant, call.namespace)))


def update(call: CloudflareCall) -> Any:
    """Change what is said of a namespace: null takes it away."""
    name = call.namespace
    said: dict[str, Any] = _said(call, _FORM.read(call.body), name)
    for key in ("description", "public_endpoint_params"):
        if key in call.body and call.body[key] is None:
            said[key] = None
    return ok(shown(call.hub.book.update(call.tenant, name, **said)))


def delete(call: CloudflareCall) -> Any:
    """Remove a namespace without instances."""
    name = call.namespace
    if name == DEFAULT:
        raise HttpError(400, "invalid", f"the namespace {DEFAULT!r} is always there")
    if call.hub.listed(call.tenant, name):
        raise Final(409, "exists", f"the namespace {name!r} has instances: remove them first")
    return ok(shown(call.hub.book.delete(call.tenant, name)))


def _said(call: CloudflareCall, sent: NamespaceForm, name: str) -> dict[str, Any]:
    said: Mapping[str, Any] = sent
    found = {k: said[k] for k in ("description", "public_endpoint_params") if k in said}
    allowed = sent.get("public_endpoint_params", {}).get("instances_allowed", [])
    if allowed:
        there = {instance.name for instance in call.hub.listed(call.tenant, name)}
        unknown = [one for one in allowed if one not in there]
        if unknown:
            raise ErrorCode(
                400,
                _UNKNOWN_INSTANCES,
                f"instances_allowed_contains_unknown_instances: {', '.join(unknown)[:200]}",
            )
    return found
