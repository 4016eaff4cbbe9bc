"""Comparison of two configurations of a search over the queries of a collection."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from secondpass.evaluate.collection import Collection
from secondpass.evaluate.experiment import MIN_QUERIES
from secondpass.evaluate.measures import parse_measure, ranked_values
from secondpass.evaluate.report.number_format import format_difference
from secondpass.evaluate.significance import Effect, estimate_effect, scipy_stats
from secondpass.evaluate.study import Verdict, gain_verdict

if TYPE_CHECKING:
    from secondpass.index.index import Index, SearchOptions

_VERDICTS = {
    Verdict.RERANK: "better",
    Verdict.DO_NOT: "not better",
    Verdict.UNDECIDED: "undecided",
}


@dataclass(frozen=True, slots=True)
class QueryChange:
    """The measure of one query before and after, and the milliseconds of both searches."""

    query: str
    text: str
    before: float
    after: float
    before_ms: float
    after_ms: float

    @property
    def change(self) -> float:
        """The difference, above 0 where the query is better after."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class SearchComparison:
    """The changes of all queries, and what they say together.

    - `before`, `after`: the means; `before_ms`, `after_ms`: the median milliseconds.
    - `verdict`: "better" where the difference is significant at 5 % (randomization test), "not
      better" where it is surely below .01 or not above 0, else "undecided".
    """

    measure: str
    changes: Sequence[QueryChange]
    effect: Effect
    verdict: str
    sentence: str

    @property
    def before(self) -> float:
        """The mean before."""
        return statistics.fmean(c.before for c in self.changes)

    @property
    def after(self) -> float:
        """The mean after."""
        return statistics.fmean(c.after for c in self.changes)

    @property
    def before_ms(self) -> float:
        """The median milliseconds of a search before."""
        return statistics.median(c.before_ms for c in self.changes)

    @property
    def after_ms(self) -> float:
        """The median milliseconds of a search after."""
        return statistics.median(c.after_ms for c in self.changes)


def check_measure(measure: str) -> None:
    """Raise InputError for an unknown measure, MissingExtraError without the extra `eval`."""
    parse_measure(measure)
    scipy_stats()


def compare_queries(
    index: Index,
    collection: Collection,
    before: SearchOptions,
    after: SearchOptions,
    *,
    measure: str = "nDCG@10",
) -> Iterator[QueryChange]:
    """Search for each query with both configurations, and yield how its measure changes.

    All candidates are ranked: `top_k` of the configurations is not used. A document has the
    rank of its best passage.
    """
    for query, text in collection.queries.items():
        grades = {query: collection.qrels[query]}
        values, milliseconds = [], []
        for options in (before, after):
            complete: Any = {**options, "top_k": None, "return_documents": False}
            started = time.perf_counter()
            response = index.search(text, **complete)
            milliseconds.append((time.perf_counter() - started) * 1000)
            ids = list(dict.fromkeys(str(r.document_id) for r in response.results))
            values.append(float(ranked_values({query: ids}, grades, [measure])[measure][0]))
        yield QueryChange(query, text, *values, *milliseconds)


def summarize_changes(measure: str, changes: Sequence[QueryChange]) -> SearchComparison:
    """Return what the changes of all queries say together; there must be one at least."""
    effect = estimate_effect(np.array([c.change for c in changes]))
    few = len(changes) < MIN_QUERIES
    verdict = "undecided" if few else _VERDICTS[gain_verdict(effect)]
    return SearchComparison(
        measure, changes, effect, verdict, _describe(measure, len(changes), effect, verdict)
    )


def _describe(measure: str, queries: int, effect: Effect, verdict: str) -> str:
    if queries < MIN_QUERIES:
        return f"{queries} queries are too few to tell: {MIN_QUERIES} are needed at least."
    difference = (
        f"{measure} changes by {format_difference(effect.mean)} "
        f"(95 % interval {format_difference(effect.low)} to {format_difference(effect.high)}, "
        f"{effect.won} queries better, {effect.lost} worse, {effect.tied} equal)"
    )
    if verdict == "better":
        return f"The second configuration is better: {difference}."
    if verdict == "not better":
        return f"The second configuration is not better: {difference}."
    return f"These {queries} queries cannot tell which is better: {difference}."
