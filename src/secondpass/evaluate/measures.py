"""Measures of runs by the names of ir-measures, with the values of trec_eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, MissingExtraError, nearest
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.defaults import MEASURES
from secondpass.evaluate.qrels import Grades
from secondpass.evaluate.run import Run
from secondpass.evaluate.text_files import abbreviate

Values = NDArray[np.float64]


def parse_measure(text: str) -> Any:
    """Return the measure of a name such as "nDCG@10" or "P(rel=2)@5".

    Raises InputError for a name that ir-measures does not know or cannot compute,
    MissingExtraError without the package.
    """
    ir_measures = _ir_measures()
    try:
        measure = ir_measures.parse_measure(text)
    except NameError as error:
        known = sorted(name for name in ir_measures.measures.registry if name.isascii())
        raise InputError(f"there is no measure {text!r}", fix=nearest(text, known)) from error
    except (ValueError, TypeError, AttributeError, SyntaxError) as error:
        raise InputError(
            f"the measure {text!r} cannot be read",
            why=str(error),
            fix='Write it as ir-measures does: "nDCG@10", "RR@10", "P(rel=2)@5".',
        ) from error
    try:
        ir_measures.evaluator([measure], [ir_measures.Qrel("q", "d", 1)])
    except (ValueError, RuntimeError, AssertionError) as error:
        raise InputError(f"the measure {text!r} cannot be computed", why=str(error)) from error
    return measure


def per_query(run: Run, qrels: Grades, measures: Sequence[str]) -> dict[str, Values]:
    """Return each measure's value of each query, [queries] in the order of `qrels`.

    A query that the run lacks has 0, as with trec_eval's option -c. Queries that are not
    judged are ignored.
    """
    return ranked_values(
        {query: run.ranking(query) for query in qrels if run.scores.get(query)}, qrels, measures
    )


def ranked_values(
    ranked: Mapping[str, Sequence[str]], qrels: Grades, measures: Sequence[str]
) -> dict[str, Values]:
    """Return each measure's value of each query's ranked ids, [queries] as in `qrels`."""
    ir_measures = _ir_measures()
    parsed = {name: parse_measure(name) for name in measures}
    judged = [
        ir_measures.Qrel(query, document, max(0, grade))
        for query, grades in qrels.items()
        for document, grade in grades.items()
    ]
    # Falling scores without ties, so that every provider reads the same order.
    retrieved = [
        ir_measures.ScoredDoc(query, document, -float(rank))
        for query, ids in ranked.items()
        if query in qrels
        for rank, document in enumerate(ids)
    ]
    if not retrieved:
        return {name: np.zeros(len(qrels)) for name in measures}
    values: dict[tuple[Any, str], float] = {
        (m.measure, m.query_id): float(m.value)
        for m in ir_measures.iter_calc(list(parsed.values()), judged, retrieved)
    }
    return {
        name: np.array([values.get((measure, query), 0.0) for query in qrels])
        for name, measure in parsed.items()
    }


def _ir_measures() -> Any:
    try:
        return import_module("ir_measures")
    except ImportError as error:
        raise MissingExtraError("measuring", package="ir-measures", extra="eval") from error


@dataclass(frozen=True)
class Evaluation:
    """The measures of a run: `means`, and `values` [queries] in the order of `queries`.

    `notes` describe queries and documents that needed a rule, such as ties.
    """

    name: str
    queries: Sequence[str]
    means: Mapping[str, float]
    values: Mapping[str, Values] = field(repr=False)
    notes: tuple[str, ...] = ()


def evaluate(
    run: Run, collection: Collection, measures: Sequence[str] = MEASURES
) -> Evaluation:
    """Measure a run on a collection.

    `measures` are names of ir-measures, such as "nDCG@10" or "P(rel=2)@5". A query without
    results counts as 0; queries that are not in the collection are ignored. Raises
    InputError for an unknown measure, or a run that has none of the queries.
    """
    if not measures:
        raise InputError("there is no measure", fix='Name at least one, such as "nDCG@10".')
    missing = [q for q in collection.queries if not run.scores.get(q)]
    if len(missing) == len(collection.queries):
        raise InputError(
            f"run {run.name!r} has none of the {len(missing)} queries",
            why=f"its queries are {abbreviate(list(run.scores))};"
            f" judged are {abbreviate(missing)}",
            fix="Check that the run and the judgments use the same query ids.",
        )
    values = per_query(run, collection.qrels, measures)
    notes = []
    if missing:
        notes.append(
            f"{run.name}: {len(missing)} queries without results count as 0:"
            f" {abbreviate(missing)}"
        )
    unjudged = [q for q in run.scores if q not in collection.queries]
    if unjudged:
        notes.append(
            f"{run.name}: {len(unjudged)} queries that are not judged were ignored:"
            f" {abbreviate(unjudged)}"
        )
    if run.ties:
        notes.append(
            f"{run.name}: {run.ties} documents share a score with another one; ties"
            " are ordered by falling id, as in trec_eval"
        )
    return Evaluation(
        run.name,
        list(collection.queries),
        {name: float(v.mean()) for name, v in values.items()},
        values,
        tuple(notes),
    )
