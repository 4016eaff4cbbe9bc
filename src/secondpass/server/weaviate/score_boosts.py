"""Boosts and diversity of searches, which only gRPC has: parsed, and computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.boost_rules import BoostRule
from secondpass.errors import InputError
from secondpass.rerank.boost_values import evaluate_rule, scale_to_unit
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.filters import Where, parse_where
from secondpass.server.weaviate.names import parse_property_name
from secondpass.types import Document

MAX_CONDITIONS = 20
"""As in Weaviate."""
_DEFAULT_WEIGHT = 0.5
_DEFAULT_DEPTH = 100
_NUMBERS = ("int", "number")


@dataclass(frozen=True, slots=True)
class BoostCondition:
    """A condition and its weight, which may be negative: a filter, or a rule of a property.

    `root`: whether the square root of the property is used.
    """

    weight: float
    where: Where | None = None
    rule: BoostRule | None = None
    root: bool = False

    def values(self, properties: Sequence[Mapping[str, Any]]) -> list[float]:
        """Return how far the rule holds for objects with these properties, 0 to 1."""
        rule = self.rule
        assert rule is not None
        assert rule.field is not None
        documents = []
        for one in properties:
            value = one.get(rule.field)
            if self.root and value is not None:
                value = math.sqrt(value) if value >= 0 else None
            documents.append(Document("", metadata={rule.field: value}))
        try:
            return list(evaluate_rule(rule, documents, known_fields={rule.field: ""}).values)
        except InputError:
            # No value can be used, such as the logarithm of negative numbers.
            return [0.0] * len(documents)


@dataclass(frozen=True, slots=True)
class ScoreBoost:
    """A boost: `weight`, 0 to 1, is its share of the score of the best `depth` hits."""

    conditions: tuple[BoostCondition, ...]
    weight: float
    depth: int

    def combine(
        self, scores: Sequence[float], values: Sequence[Sequence[float]]
    ) -> list[float]:
        """Return the scores, scaled to 0 to 1 over the hits, with those of the conditions.

        `values` has a list for each condition. Theirs is the mean weighted by the conditions'
        weights. How Weaviate scales the scores is not documented.
        """
        total = math.fsum(abs(condition.weight) for condition in self.conditions)
        boosts = [0.0] * len(scores)
        for condition, column in zip(self.conditions, values, strict=True):
            for i, value in enumerate(column):
                boosts[i] += condition.weight * value / total if total else 0.0
        scaled = scale_to_unit(scores)
        return [
            (1 - self.weight) * score + self.weight * boost
            for score, boost in zip(scaled, boosts, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Diversity:
    """Maximal marginal relevance: how many hits it selects, and the weight of relevance."""

    limit: int
    balance: float


def parse_score_boost(given: Mapping[str, Any], definition: ClassDefinition) -> ScoreBoost:
    """Parse a boost; raises HttpError (422)."""
    conditions = tuple(_parse_condition(c, definition) for c in given["conditions"])
    if not 1 <= len(conditions) <= MAX_CONDITIONS:
        raise unprocessable(f"boost: give 1 to {MAX_CONDITIONS} conditions")
    weight = _DEFAULT_WEIGHT if given["weight"] is None else given["weight"]
    depth = _DEFAULT_DEPTH if given["depth"] is None else given["depth"]
    if not 0 <= weight <= 1:
        raise unprocessable(f"boost: weight must be from 0 to 1, not {weight:g}")
    if not 1 <= depth <= 10_000:
        raise unprocessable(f"boost: depth must be from 1 to 10000, not {depth}")
    return ScoreBoost(conditions, weight, depth)


def parse_diversity(given: Mapping[str, Any], limit: int) -> Diversity:
    """Parse a selection by maximal marginal relevance; raises HttpError (422)."""
    count = given["limit"]
    balance = 0.5 if given["balance"] is None else given["balance"]
    if count is None or not 1 <= count <= limit:
        raise unprocessable("mmr: limit must be at least 1, and at most that of the query")
    if not 0 <= balance <= 1:
        raise unprocessable(f"mmr: balance must be from 0 to 1, not {balance:g}")
    return Diversity(count, balance)


def _parse_condition(given: Mapping[str, Any], definition: ClassDefinition) -> BoostCondition:
    weight = 1.0 if given["weight"] is None else given["weight"]
    if not math.isfinite(weight):
        raise unprocessable("boost: the weight of a condition must be a finite number")
    if "where" in given:
        return BoostCondition(weight, where=parse_where(given["where"]))
    rule = dict(given["rule"])
    property_ = definition.property(parse_property_name(rule.pop("property")))
    kinds = rule.pop("kinds", _NUMBERS)
    if property_.kind not in kinds or property_.is_list:
        wanted = " or ".join(kinds)
        raise unprocessable(
            f"boost: '{property_.name}' is of type {property_.data_type}, not {wanted}"
        )
    root = rule.pop("root", False)
    try:
        made = BoostRule(1.0, field=property_.name, **rule)
    except InputError as error:
        raise unprocessable(f"boost: {error.why}") from None
    return BoostCondition(weight, rule=made, root=root)
