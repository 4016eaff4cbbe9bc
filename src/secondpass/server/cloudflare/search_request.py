"""A search request: which instances are searched, and with which options.

A body is parsed into a `SearchRequest`, `search.py` runs it, and `search_routes.py` or
`chat.py` writes the response.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from secondpass.answer.answer import MIN_PROBABILITY
from secondpass.retrieve.json_filter import Condition
from secondpass.server.cloudflare.boosts import check_boosts
from secondpass.server.cloudflare.context import ApiRequest, AppContext
from secondpass.server.cloudflare.conversation import Conversation, parse_conversation
from secondpass.server.cloudflare.filters import Field, parse_filter
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.schemas import (
    DEFAULT_SETTINGS,
    BoostRule,
    FusionMethod,
    InstanceSettings,
    RetrievalType,
    Schema,
    SearchBody,
    SearchOptions,
)
from secondpass.server.cloudflare.search_cache import CacheLookup
from secondpass.server.http_errors import HttpError, invalid

# Cloudflare's default of 0.4 is on the scale of its own model: the bundled one gives less to
# every fourth relevant passage.
_DEFAULT_RERANKING_THRESHOLD = MIN_PROBABILITY
_SCHEMA = Schema(SearchBody)


@dataclass(frozen=True, slots=True)
class SearchTarget:
    """An instance to search, and how.

    - `match_all`: whether a keyword hit must have all words of the query.
    - `threshold`: the lowest vector score that is returned.
    """

    instance: Instance
    retrieval_type: RetrievalType
    fields: Mapping[str, Field]
    conditions: Sequence[Condition]
    match_all: bool
    boosts: Sequence[BoostRule]
    threshold: float


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """The stages of a search after the first, over all its instances.

    - `model`: the reranker's name, None for the server's default; `min_score`: the lowest
      reranking score that is returned, 0 to 1.
    - `allow_partial`: whether to return what is left when a part of the search fails.
    """

    fusion: FusionMethod
    max_results: int
    context_expansion: int
    rerank: bool
    model: str | None
    min_score: float
    allow_partial: bool
    metadata_only: bool


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A validated search of one instance, or of several of a namespace.

    - `options`: as the client sent them; `several`: whether the instances are named.
    - `missing`: (name, message) of instances that do not exist.
    - `model`: the name of the client, "" for none; `cacheable`: false for AutoRAG.
    """

    conversation: Conversation
    targets: Sequence[SearchTarget]
    plan: SearchPlan
    options: SearchOptions
    several: bool = False
    missing: Sequence[tuple[str, str]] = ()
    model: str = ""
    cacheable: bool = True

    @property
    def instances(self) -> list[Instance]:
        """The instances to search."""
        return [target.instance for target in self.targets]

    @property
    def settings(self) -> InstanceSettings:
        """The settings of the instance, or the default ones for several."""
        return DEFAULT_SETTINGS if self.several else self.instances[0].settings

    def cache_lookup(self, kind: str) -> CacheLookup | None:
        """Return what to look up an answer of this kind by, or None if caching is off."""
        options = self.options.get("cache", {})
        enabled = all(instance.settings["cache"] for instance in self.instances)
        if not options.get("enabled", enabled) or not self.cacheable:
            return None
        keys = [str(instance.key) for instance in self.instances]
        search_options = {k: v for k, v in self.options.items() if k != "cache"}
        scope: list[Any] = [kind, keys, self.several, search_options, self.model]
        scope += [self.conversation.history, self.conversation.system, self.missing]
        return CacheLookup(
            self.conversation.query,
            sha256(json.dumps(scope, sort_keys=True).encode()).hexdigest(),
            tuple(instance.version for instance in self.instances),
            min(instance.settings["cache_ttl"] for instance in self.instances),
            options.get("cache_threshold", self.settings["cache_threshold"]),
        )


def parse_instance_search(request: ApiRequest, *, chat: bool = False) -> SearchRequest:
    """Parse a search of the instance in the path; raises HttpError (400 or 404).

    `chat`: whether the body must have messages.
    """
    body = parse_body(request.body)
    conversation = parse_conversation(body, require_messages=chat)
    return search_of_instance(request.instance, conversation, body)


def parse_namespace_search(request: ApiRequest, *, chat: bool = False) -> SearchRequest:
    """Parse a search of several instances of the namespace in the path.

    Raises HttpError: 400, or 404 if none of the instances exists.
    """
    body = parse_body(request.body)
    names = body.get("ai_search_options", {}).get("instance_ids")
    if names is None:
        raise invalid("ai_search_options.instance_ids is missing")
    conversation = parse_conversation(body, require_messages=chat)
    tenant, namespace = request.tenant, request.namespace
    return search_of_instances(request.app, tenant, namespace, names, conversation, body)


def parse_body(body: Mapping[str, Any]) -> SearchBody:
    """Return the validated body of a search; raises HttpError (400)."""
    return _SCHEMA.parse(body)


def search_of_instance(
    instance: Instance, conversation: Conversation, body: SearchBody
) -> SearchRequest:
    """Return the search of one instance; raises HttpError (400)."""
    options = body.get("ai_search_options", {})
    target = search_target(instance, options)
    plan = search_plan(options, instance.settings)
    return SearchRequest(conversation, [target], plan, options, model=body.get("model", ""))


def search_of_instances(
    app: AppContext,
    tenant: str,
    namespace: str,
    names: Sequence[str],
    conversation: Conversation,
    body: SearchBody,
) -> SearchRequest:
    """Return the search of several instances of a namespace.

    Raises HttpError: 400, or 404 if none of them exists, or one of them where the client
    does not accept partial results.
    """
    options = body.get("ai_search_options", {})
    plan = search_plan(options)
    instances: list[Instance] = []
    missing: list[tuple[str, str]] = []
    for name in dict.fromkeys(names):
        try:
            instances.append(app.instance(tenant, namespace, name))
        except HttpError as error:
            if error.status != 404:
                raise
            missing.append((name, error.message))
    if missing and not (instances and plan.allow_partial):
        raise HttpError(404, "not found", "; ".join(message for _, message in missing))
    return SearchRequest(
        conversation,
        [search_target(instance, options) for instance in instances],
        plan,
        options,
        several=True,
        missing=missing,
        model=body.get("model", ""),
    )


def search_target(
    instance: Instance,
    options: SearchOptions,
    conditions: Sequence[Condition] | None = None,
) -> SearchTarget:
    """Return how an instance is searched; raises HttpError (400).

    `conditions`: those of a filter that was parsed already, instead of the one in `options`.
    """
    settings, retrieval = instance.settings, options.get("retrieval", {})
    defaults, fields = settings["retrieval_options"], instance.fields
    boosts = retrieval.get("boost_by", defaults.get("boost_by", []))
    check_boosts(boosts, fields)
    match_mode = retrieval.get("keyword_match_mode", defaults.get("keyword_match_mode", "and"))
    if conditions is None:
        conditions = parse_filter(retrieval.get("filters", {}), fields)
    return SearchTarget(
        instance,
        _retrieval_type(settings, retrieval.get("retrieval_type")),
        fields,
        conditions,
        match_mode == "and",
        boosts,
        retrieval.get("match_threshold", settings["score_threshold"]),
    )


def search_plan(
    options: SearchOptions, settings: InstanceSettings = DEFAULT_SETTINGS
) -> SearchPlan:
    """Return the later stages of a search; several instances use the default settings."""
    retrieval, reranking = options.get("retrieval", {}), options.get("reranking", {})
    return SearchPlan(
        fusion=retrieval.get("fusion_method", settings["fusion_method"]),
        max_results=retrieval.get("max_num_results", settings["max_num_results"]),
        context_expansion=retrieval.get("context_expansion", 0),
        rerank=reranking.get("enabled", settings["reranking"]),
        model=_reranker_name(reranking.get("model", settings.get("reranking_model"))),
        min_score=reranking.get("match_threshold", _DEFAULT_RERANKING_THRESHOLD),
        allow_partial=retrieval.get("return_on_failure", True),
        metadata_only=retrieval.get("metadata_only", False),
    )


def _retrieval_type(
    settings: InstanceSettings, requested: RetrievalType | None
) -> RetrievalType:
    method = settings["index_method"]
    if requested is None:
        hybrid = method["vector"] and method["keyword"]
        return "hybrid" if hybrid else "vector" if method["vector"] else "keyword"
    needed = ("vector", "keyword") if requested == "hybrid" else (requested,)
    for name in needed:
        if not (method["vector"] if name == "vector" else method["keyword"]):
            raise invalid(
                f"retrieval_type {requested!r} needs index_method.{name}, which is false"
            )
    return requested


def _reranker_name(name: str | None) -> str | None:
    """Return the name of a reranker; None for Cloudflare's models, replaced by the default."""
    return None if not name or name.startswith("@cf/") else name
