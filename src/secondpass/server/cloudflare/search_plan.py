"""What a search does: the request's options, and the instance's settings where it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondpass.answer.answer import MIN_PROBABILITY
from secondpass.server.cloudflare.boosting import check_boosts
from secondpass.server.cloudflare.conditions import Condition
from secondpass.server.cloudflare.fields import Field
from secondpass.server.cloudflare.filters import read_filter
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.schemas import (
    NEW,
    BoostRule,
    FusionName,
    InstanceForm,
)
from secondpass.server.cloudflare.search_form import OptionsForm, RetrievalType
from secondpass.server.http_errors import invalid

# The service has 0.4, on the scale of its own model: of what is relevant, the bundled one
# gives less to every fourth passage.
_RERANKING_THRESHOLD = MIN_PROBABILITY


@dataclass(frozen=True, slots=True)
class Target:
    """How one instance is searched: `every` is whether all words of the query must stand in
    a chunk that is found by words.
    """

    instance: Instance
    kind: RetrievalType
    fields: Mapping[str, Field]
    conditions: Sequence[Condition]
    every: bool
    boosts: Sequence[BoostRule]
    threshold: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search goes on, over all its instances.

    - `rerank`: whether; `model`: with which, None for the server's own; `least`: the lowest
      share of relevance that stays.
    - `partial`: whether what is left will do where a part of the search fails.
    """

    fusion: FusionName
    results: int
    expansion: int
    rerank: bool
    model: str | None
    least: float
    partial: bool
    metadata_only: bool


def target_of(
    instance: Instance, options: OptionsForm, conditions: Sequence[Condition] | None = None
) -> Target:
    """Return how an instance is searched; raises Problem (400).

    `conditions` are those of a filter that was read already.
    """
    settings, asked = instance.settings, options.get("retrieval", {})
    fields = instance.fields
    boosts = asked.get("boost_by", settings["retrieval_options"].get("boost_by", []))
    check_boosts(boosts, fields)
    mode = settings["retrieval_options"].get("keyword_match_mode", "and")
    if conditions is None:
        conditions = read_filter(asked.get("filters", {}), fields)
    return Target(
        instance,
        _kind(settings, asked.get("retrieval_type")),
        fields,
        conditions,
        asked.get("keyword_match_mode", mode) == "and",
        boosts,
        asked.get("match_threshold", settings["score_threshold"]),
    )


def plan_of(options: OptionsForm, settings: InstanceForm = NEW) -> Plan:
    """Return how a search goes on; over several instances by the settings of a new one."""
    asked, second = options.get("retrieval", {}), options.get("reranking", {})
    return Plan(
        fusion=asked.get("fusion_method", settings["fusion_method"]),
        results=asked.get("max_num_results", settings["max_num_results"]),
        expansion=asked.get("context_expansion", 0),
        rerank=second.get("enabled", settings["reranking"]),
        model=_model(second.get("model", settings.get("reranking_model"))),
        least=second.get("match_threshold", _RERANKING_THRESHOLD),
        partial=asked.get("return_on_failure", True),
        metadata_only=asked.get("metadata_only", False),
    )


def _kind(settings: InstanceForm, asked: RetrievalType | None) -> RetrievalType:
    method = settings["index_method"]
    if asked is None:
        both = method["vector"] and method["keyword"]
        return "hybrid" if both else "vector" if method["vector"] else "keyword"
    needed = ("vector", "keyword") if asked == "hybrid" else (asked,)
    for half in needed:
        if not (method["vector"] if half == "vector" else method["keyword"]):
            raise invalid(f"retrieval_type {asked!r} needs index_method.{half}, which is false")
    return asked


def _model(name: str | None) -> str | None:
    """Return a model's name, or None for one of the service's, which the default stands for."""
    return None if not name or name.startswith("@cf/") else name
