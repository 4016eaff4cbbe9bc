"""The names of a span's attributes, by the conventions that readers of traces know.

Requests: OpenTelemetry's for HTTP servers, which are stable. Stages: OpenInference's span
kinds and `reranker.*`, and OpenTelemetry's `gen_ai.*`, whose operation `retrieval` is in
development and whose `rerank` is proposed. What neither has a name for is `secondpass.*`.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.routing import Match, Route
from starlette.types import Scope

from secondpass.observe import Told
from secondpass.server.request_context import Seen

Attributes = dict[str, str | bool | int | float]
_STAGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "first_pass": {
        "mode": ("secondpass.mode",),
        "candidates": ("secondpass.candidates",),
        "documents": ("secondpass.documents",),
    },
    "rerank": {
        "model": ("reranker.model_name", "gen_ai.request.model"),
        "top_k": ("reranker.top_k", "gen_ai.rerank.top_n"),
        "documents": ("gen_ai.rerank.candidate.count",),
        "tokens": ("gen_ai.usage.input_tokens",),
        "status": ("secondpass.status",),
    },
}
_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)
_QUERY = {
    "first_pass": ("input.value", "gen_ai.retrieval.query.text"),
    "rerank": ("input.value", "reranker.query"),
}
_FIXED: Mapping[str, Attributes] = {
    "first_pass": {
        "openinference.span.kind": "RETRIEVER",
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": "secondpass",
    },
    "rerank": {
        "openinference.span.kind": "RERANKER",
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "secondpass",
    },
}


def described(name: str, told: Told, *, queries: bool) -> tuple[str, Attributes]:
    """Return the title and the attributes of a stage; None is no value."""
    found: Attributes = dict(_FIXED.get(name, {}))
    names = dict(_STAGES.get(name, {}))
    if queries:
        names["query"] = _QUERY.get(name, ())
    for key, value in told.items():
        if value is not None:
            found |= dict.fromkeys(names.get(key, ()), value)
    model = told.get("model")
    title = str(_FIXED.get(name, {}).get("gen_ai.operation.name", name))
    return (title if model is None else f"{title} {model}"), found


def of_request(scope: Scope, seen: Seen) -> Attributes:
    """Return what is known of a request before it is answered; no query string, no address."""
    return {
        "http.request.method": _method(seen),
        "url.path": seen.path,
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version", "1.1"),
        "secondpass.request_id": seen.id,
    }


def of_answer(scope: Scope, seen: Seen) -> tuple[str, Attributes]:
    """Return the name of a request's span, and what is known when it is answered."""
    found: Attributes = {"http.response.status_code": seen.status}
    if seen.status >= 500:
        found["error.type"] = str(seen.status) if seen.problem is None else seen.problem
    route = _route(scope)
    if route is not None:
        found["http.route"] = route
    exchange, caller = seen.exchange, seen.caller
    if exchange is not None:
        found |= {
            "openinference.span.kind": "CHAIN",
            "secondpass.dialect": exchange.dialect,
            "secondpass.documents": exchange.documents,
        }
    if caller is not None:
        found["secondpass.tenant"] = caller.tenant
        if caller.id:
            found["secondpass.key_id"] = caller.id
    method = _method(seen).replace("_OTHER", "HTTP")
    return (method if route is None else f"{method} {route}"), found


def _method(seen: Seen) -> str:
    # Clients may send any word: the convention keeps names few.
    return seen.method if seen.method in _METHODS else "_OTHER"


def _route(scope: Scope) -> str | None:
    """Return the path that was matched, with names where parameters stand."""
    found = getattr(scope.get("route"), "path", None)
    if isinstance(found, str) or "app" not in scope:
        return found
    # FastAPI names its own routes only.
    routes = (route for route in scope["app"].routes if isinstance(route, Route))
    return next((r.path for r in routes if r.matches(scope)[0] is Match.FULL), None)
