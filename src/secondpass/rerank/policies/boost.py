"""Higher or lower scores for documents by filters and metadata fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from secondpass.boost_rules import BoostLike, BoostRule, parse_boosts
from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.boost_values import Matches, evaluate_rule, needs_index
from secondpass.rerank.policies.score_transform import ScoreTransform, add_to_scores
from secondpass.rerank.policies.wrapper import join_reasons
from secondpass.rerank.score import Scored
from secondpass.types import Candidate


class Boost(ScoreTransform):
    """Adds to the score of documents that rules hold for, in standard deviations.

    - `rules`: such as `["log(downloads): +0.3"]`, or as tables
      (docs/how-to/adjust-the-ranking.md).
    - `matches`: tells which documents pass the filter of a rule; without it, rules with
      filters raise `InputError`. `known_fields`: names and types of the fields that a rule can
      name though no candidate has them. `now`: from when the age of dates is counted; by
      default that of the search.

    A weight of 0.3 adds 0.3 standard deviations of the scores of one query, so a rule means
    the same for every model; negative ones push down. What the wrapped reranker added up is
    scaled with it: its `parts` and one for each rule add up to the score. Scores order one
    response only (`ScoreKind.RANK`); where no rule adds anything, they are passed through.
    A value that a rule cannot use adds nothing and is counted in `reason`.

    `Boost(reranker, "kind", {"faq": 1.0})` stands for a rule `equals(kind, value=faq): 1.0` of
    each value, under the one name "boost". Raises `InputError` for rules that cannot be used.
    """

    def __init__(
        self,
        reranker: BaseReranker,
        rules: str | Sequence[BoostLike],
        values: Mapping[str, float] | None = None,
        *,
        matches: Matches | None = None,
        known_fields: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> None:
        super().__init__(reranker)
        self._name = None if values is None else "boost"
        if values is None:
            self.rules = parse_boosts(rules)
        else:
            self.rules = tuple(
                BoostRule(weight, function="equals", field=str(rules), value=str(value))
                for value, weight in values.items()
            )
            # Such a field may be absent from all candidates of a query.
            known_fields = {str(rules): "text", **(known_fields or {})}
        if matches is None and (rule := next((r for r in self.rules if r.filter), None)):
            raise needs_index(rule)
        self._matches, self._known_fields, self._now = matches, known_fields, now

    def _transform(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        documents = [candidate.document for candidate in candidates]
        parts: dict[str, list[float]] = {}
        reasons = [scored.reason]
        for rule in self.rules:
            found = evaluate_rule(
                rule,
                documents,
                matches=self._matches,
                known_fields=self._known_fields,
                now=self._now,
            )
            if found.unread:
                reasons.append(
                    f"the boost {rule.name} could not use the value of {found.unread} of "
                    f"{len(documents)} candidates"
                )
            added = parts.setdefault(self._name or rule.name, [0.0] * len(documents))
            for i, value in enumerate(found.values):
                added[i] += rule.weight * value
        if not all(math.isfinite(value) for column in parts.values() for value in column):
            raise InputError("the boosts cannot be added up", why="their sum is too large")
        scored = replace(scored, reason=join_reasons(reasons))
        if not any(value for column in parts.values() for value in column):
            return scored
        return add_to_scores(scored, parts)
