"""Collections by their name in the catalogue of ir_datasets."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.evaluate.qrels import Qrels


def read_dataset(name: str) -> tuple[dict[str, str], Qrels]:
    """Return queries and judgements of a data set, such as "beir/scifact/test".

    ir_datasets fetches what it does not have yet. Raises MissingExtraError without the
    package, InputError for an unknown name or a set without queries or judgements.
    """
    try:
        ir_datasets: Any = import_module("ir_datasets")
    except ImportError as error:
        raise MissingExtraError(
            f"reading ir_datasets:{name}", package="ir-datasets", extra="datasets"
        ) from error
    try:
        dataset = ir_datasets.load(name)
    except KeyError as error:
        raise InputError(
            f"ir_datasets has no {name!r}", fix="Its catalogue lists the names: ir-datasets.com"
        ) from error
    if not dataset.has_queries() or not dataset.has_qrels():
        raise InputError(f"{name!r} has no queries with judgements")
    queries = {q.query_id: q.default_text() for q in dataset.queries_iter()}
    grades: dict[str, dict[str, int]] = {}
    negative = 0
    for judged in dataset.qrels_iter():
        negative += judged.relevance < 0
        grades.setdefault(judged.query_id, {})[judged.doc_id] = max(0, judged.relevance)
    return queries, Qrels(grades, negative=negative)
