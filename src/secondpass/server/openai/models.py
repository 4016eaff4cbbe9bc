"""The list of models: rerankers, the embedder and indexes, in OpenAI's and Cohere's shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from secondpass.server.access.api_keys import KeyEntry
from secondpass.server.http_errors import HttpError
from secondpass.server.scheduler.scheduled_models import TOKENS_AT_ONCE
from secondpass.server.state import EMBEDDER, ServerState

Row = dict[str, Any]


def list_models(state: ServerState, caller: KeyEntry) -> Iterator[Row]:
    """Yield the rerankers, the embedder and the indexes that a caller may use; blocks.

    Raises HttpError (503) while they are loaded.
    """
    state.check_ready()
    if caller.may("rerank"):
        yield from (_row(name, "rerank") for name in state.models)
        yield _row(EMBEDDER, "embed")
    if caller.may("search") and state.has_catalog:
        catalog = state.catalog
        for namespace in catalog.namespaces(caller.tenant):
            for served in catalog.list_indexes(caller.tenant, namespace):
                yield _row(served.key.label, "chat")


def infinity_rows(state: ServerState, rows: Iterable[Row]) -> list[Row]:
    """Return the models that embed or rerank, with the fields of Infinity's list."""
    waiting = int(state.queue.waiting)
    stats = {
        "queue_fraction": waiting / state.settings.most_waiting,
        "queue_absolute": waiting,
        "results_pending": state.active_requests,
        "batch_size": TOKENS_AT_ONCE,
    }
    return [
        {
            **row,
            "owned_by": "infinity",
            "backend": "secondpass",
            "capabilities": row["endpoints"],
            "stats": stats,
        }
        for row in rows
        if row["endpoints"] != ["chat"]
    ]


def find_model(rows: Iterable[Row], name: str) -> Row:
    """Return the row of a model; raises HttpError (404)."""
    # The name of a folder loses its leading slash, as paths have no doubled slashes.
    row = next((row for row in rows if row["id"].lstrip("/") == name), None)
    if row is None:
        raise HttpError(404, "unknown model", f"there is no model {name!r}")
    return row


def _row(name: str, endpoint: str) -> Row:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "secondpass",
        "name": name,
        "endpoints": [endpoint],
    }
