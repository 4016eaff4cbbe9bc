"""Many objects at once: stored, each with its own result, or removed by a filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondpass.server.http_errors import Problem
from secondpass.server.weaviate.class_index import ClassIndex
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.datatypes import plain_json
from secondpass.server.weaviate.get_query import MOST, condition_of
from secondpass.server.weaviate.names import class_name
from secondpass.server.weaviate.responses import refused, shown
from secondpass.server.weaviate.writes import NewObject, put, read_object


def store_batch(classes: Classes, tenant: str, given: list[Any]) -> list[dict[str, Any]]:
    """Store objects, those of a class in one atomic step; return each with its result.

    An object that cannot be stored fails alone. Of several with one id the last counts.
    """
    results: list[dict[str, Any]] = [{} for _ in given]
    places: dict[str, list[int]] = {}
    for place, body in enumerate(given):
        try:
            if not isinstance(body, dict):
                raise refused("an object must be a JSON object")
            places.setdefault(class_name(body.get("class")), []).append(place)
        except Problem as problem:
            results[place] = _failed(body, problem)
    for name, mine in places.items():
        try:
            with classes.writing(tenant, name, make=True) as index:
                _store(index, given, mine, results)
        except Problem as problem:
            if problem.status != 422:
                raise
            for place in mine:
                results[place] = _failed(given[place], problem)
    return results


def delete_batch(
    index: ClassIndex, match: Mapping[str, Any], *, verbose: bool, dry: bool
) -> dict[str, Any]:
    """Remove the objects that pass a filter, up to 10,000; return what came of it.

    `dry` counts them alone; `verbose` names them.
    """
    if match.get("where") is None:
        raise refused("match needs a where")
    condition = condition_of(index, match)
    matches = index.count(condition)
    ids = [hit.id for hit in index.read(lambda store: store.listed(condition, limit=MOST))]
    if not dry:
        index.store.delete(ids)
    status = "DRYRUN" if dry else "SUCCESS"
    return {
        "matches": matches,
        "limit": MOST,
        "successful": 0 if dry else len(ids),
        "failed": 0,
        "objects": [{"id": name, "status": status} for name in ids] if verbose else None,
    }


def _store(
    index: ClassIndex, given: list[Any], mine: list[int], results: list[dict[str, Any]]
) -> None:
    new: dict[int, NewObject] = {}
    for place in mine:
        try:
            new[place] = read_object(index, given[place])
        except Problem as problem:
            results[place] = _failed(given[place], problem)
    last = {one.id: one for one in new.values()}
    made = {one.id: one for one in put(index, list(last.values()))} if last else {}
    for place, one in new.items():
        results[place] = {
            **made[one.id].to_json(index.definition),
            "deprecations": None,
            "result": {"status": "SUCCESS"},
        }


def _failed(body: Any, problem: Problem) -> dict[str, Any]:
    error = {"error": [{"message": shown(problem.message)}]}
    return {
        **_echo(body),
        "deprecations": None,
        "result": {"status": "FAILED", "errors": error},
    }


def _echo(body: Any) -> dict[str, Any]:
    """Return what can be sent back of an object that was refused."""
    try:
        found = plain_json(body)
    except Problem:
        found = {key: shown(str(body.get(key))) for key in ("class", "id")}
    return found if isinstance(found, dict) else {}
