"""What a search does: the request's options, and the instance's settings where it has none.

Chunks of files with certain metadata stand higher.

The question in a request, and the conversation that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.answer.answer import MIN_PROBABILITY
from secondpass.server.cloudflare.filters import (
    Condition,
    Field,
    Value,
    field_named,
    read_filter,
)
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.schemas import (
    NEW,
    BoostRule,
    FusionName,
    InstanceForm,
    MessageForm,
    OptionsForm,
    RetrievalType,
    SearchForm,
)
from secondpass.server.http_errors import invalid

_MOST = 0.1
"""What a field adds to a score from 0 to 1 at most: some ten ranks of a fused list."""
_ORDERED = ("number", "datetime", "timestamp")


def check_boosts(rules: Sequence[BoostRule], fields: Mapping[str, Field]) -> None:
    """Raise Problem (400) for fields that are not known, stand twice or have no order."""
    seen = set()
    for rule in rules:
        if "field" not in rule:
            raise invalid("boost_by: field is missing")
        field = field_named(rule["field"], fields)
        if field.name in ("filename", "folder"):
            raise invalid(f"boost_by: {field.name} cannot be boosted by")
        if field.name in seen:
            raise invalid(f"boost_by: {field.name} stands there twice")
        if rule.get("direction") in ("asc", "desc") and field.kind not in _ORDERED:
            raise invalid(f"boost_by: {field.name} is a {field.kind}, which has no order")
        seen.add(field.name)


def boosted(
    scores: Sequence[float],
    rows: Sequence[Mapping[str, Value]],
    rules: Sequence[BoostRule],
    fields: Mapping[str, Field],
) -> list[float]:
    """Return the scores, from 0 to 1, with what the fields of each chunk's file add.

    For asc and desc that is by where a value stands between the lowest and the highest of
    all; files without the field, and values that are all alike, add nothing. The service
    does not say how much it adds.
    """
    if not rules:
        return list(scores)
    totals = list(scores)
    for rule in rules:
        field = field_named(rule["field"], fields)
        for i, share in enumerate(_shares(field, rule, rows)):
            totals[i] += _MOST * share
    # Scaled, not cut off at 1, so that what was in order stays so.
    return [min(1.0, total / (1 + _MOST * len(rules))) for total in totals]


def _shares(field: Field, rule: BoostRule, rows: Sequence[Mapping[str, Value]]) -> list[float]:
    ordered = field.kind in _ORDERED
    direction = rule.get("direction", "asc" if ordered else "exists")
    values = [row.get(field.column) for row in rows]
    if direction in ("exists", "not_exists"):
        wanted = direction == "exists"
        return [float((value is not None) is wanted) for value in values]
    numbers = [None if v is None else float(v) for v in values]
    there = [n for n in numbers if n is not None]
    low, high = (min(there), max(there)) if there else (0.0, 0.0)
    # Halved first: two huge numbers of both signs must not overflow.
    span = high / 2 - low / 2
    if span == 0:
        return [0.0] * len(values)
    up = [None if n is None else (n / 2 - low / 2) / span for n in numbers]
    return [0.0 if u is None else u if direction == "desc" else 1 - u for u in up]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `text` is the user's last message, or the query.

    - `history`: (role, text) of what was said before, by the user and the assistant.
    - `system`: what the model is told of how to answer, None where nothing is said.
    """

    text: str
    history: tuple[tuple[str, str], ...] = ()
    system: str | None = None


def question_of(body: SearchForm, *, messages_needed: bool = False) -> Question:
    """Return what a request asks; raises Problem (400) where it asks nothing, or twice."""
    query, messages = body.get("query"), body.get("messages")
    if query is not None and messages is not None:
        raise invalid("give query or messages, not both")
    if messages_needed and messages is None:
        raise invalid("messages is missing")
    if messages is not None:
        return _of_messages(messages)
    if query is None:
        raise invalid("query is missing, and so are messages")
    if not query.strip():
        raise invalid("query is blank")
    return Question(query)


def _of_messages(messages: Sequence[MessageForm]) -> Question:
    for number, message in enumerate(messages):
        if "role" not in message:
            raise invalid(f"messages.{number}.role is missing")
    said = [(m["role"], _text(m, n)) for n, m in enumerate(messages)]
    last = max((n for n, (role, _) in enumerate(said) if role == "user"), default=None)
    if last is None:
        raise invalid("messages: there is none of the user")
    if not said[last][1].strip():
        raise invalid("messages: the last one of the user has no text")
    system = [text for role, text in said if role in ("system", "developer") and text.strip()]
    history = [pair for pair in said[:last] if pair[0] in ("user", "assistant") and pair[1]]
    return Question(said[last][1], tuple(history), "\n\n".join(system) if system else None)


def _text(message: MessageForm, number: int) -> str:
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "\n".join(_part(part, f"messages.{number}.content") for part in content)


def _part(part: dict[str, Any], where: str) -> str:
    if part.get("type") != "text":
        kind = str(part.get("type"))[:50]
        raise invalid(f"{where}: only parts of type text are read here, not {kind!r}")
    if not isinstance(part.get("text"), str):
        raise invalid(f"{where}: a part has no text")
    return str(part["text"])


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
