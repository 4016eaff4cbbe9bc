"""Measures of a run, query by query and on the mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from secondpass.errors import InputError
from secondpass.evaluate.collection import Collection
from secondpass.evaluate.defaults import MEASURES
from secondpass.evaluate.measures import Values, per_query
from secondpass.evaluate.run import Run
from secondpass.evaluate.text_files import some


@dataclass(frozen=True)
class Evaluation:
    """What a run reaches: `means` by measure, `values` [queries] in the order of `queries`.

    `notes` say by which rules the run was read.
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
    results counts as 0; queries that are not of the collection are passed over. Raises
    InputError for an unknown measure, or a run that has none of the queries.
    """
    if not measures:
        raise InputError("there is no measure", fix='Name at least one, such as "nDCG@10".')
    missing = [q for q in collection.queries if not run.scores.get(q)]
    if len(missing) == len(collection.queries):
        raise InputError(
            f"run {run.name!r} has none of the {len(missing)} queries",
            why=f"it has {some(list(run.scores))}; asked for are {some(missing)}",
            fix="Check that the run and the judgements use the same query ids.",
        )
    values = per_query(run, collection.qrels, measures)
    notes = []
    if missing:
        notes.append(
            f"{run.name}: {len(missing)} queries without results count as 0: {some(missing)}"
        )
    foreign = [q for q in run.scores if q not in collection.queries]
    if foreign:
        notes.append(
            f"{run.name}: {len(foreign)} queries that are not judged were passed over:"
            f" {some(foreign)}"
        )
    if run.ties:
        notes.append(
            f"{run.name}: {run.ties} documents share a score with another one; ties"
            " stand by falling id, as trec_eval orders them"
        )
    return Evaluation(
        run.name,
        list(collection.queries),
        {name: float(v.mean()) for name, v in values.items()},
        values,
        tuple(notes),
    )
