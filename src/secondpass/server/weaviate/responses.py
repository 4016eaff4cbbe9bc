"""Responses: error bodies, and the JSON of objects, batches and the server's metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.errors import clean_message
from secondpass.server.weaviate.properties import clean_json
from secondpass.server.weaviate.writes import BatchResult, DeleteResult

DIALECT = "weaviate-database"
"""The name of this dialect in logs, metrics and traces."""
VERSION = "1.27.5"
"""The version of Weaviate that clients see: the oldest that all of them use right.

From 1.27.0 to below 1.27.1 the client for Node sends each vector twice.
"""


def error_body(error: HttpError, request_id: str) -> dict[str, Any]:
    """Return an error in Weaviate's JSON form."""
    return {"error": [{"message": clean_message(error.message)}]}


def list_reply(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the reply to a request that lists objects."""
    return {"deprecations": [], "objects": objects, "totalResults": len(objects)}


def batch_reply(results: Iterable[BatchResult]) -> list[dict[str, Any]]:
    """Return the reply to a batch: each object with its own result, in the order sent."""
    return [
        _failed_item(result.body, result.error)
        if result.stored is None
        else {**result.stored, "deprecations": None, "result": {"status": "SUCCESS"}}
        for result in results
    ]


def delete_reply(
    match: Mapping[str, Any], result: DeleteResult, *, output: str
) -> dict[str, Any]:
    """Return the reply to a batch delete; `output` "verbose" lists the ids."""
    status = "DRYRUN" if result.dry_run else "SUCCESS"
    objects = [{"id": id_, "status": status} for id_ in result.ids]
    results = {
        "matches": result.matches,
        "limit": result.limit,
        "successful": 0 if result.dry_run else len(result.ids),
        "failed": 0,
        "objects": objects if output == "verbose" else None,
    }
    return {"match": match, "output": output, "dryRun": result.dry_run, "results": results}


def meta_reply(hostname: str, model: str, *, max_grpc_message: int | None) -> dict[str, Any]:
    """Return version and modules; every module of a kind stands for the same model.

    `max_grpc_message` is in bytes, None without gRPC.
    """
    models = {"model": {"name": model}}
    reply: dict[str, Any] = {
        "hostname": hostname,
        "modules": {"reranker-transformers": models, "text2vec-transformers": {}},
        "version": VERSION,
    }
    if max_grpc_message is not None:
        reply["grpcMaxMessageSize"] = max_grpc_message
    return reply


def nodes_reply(objects: int, classes: int, *, build: str) -> dict[str, Any]:
    """Return the status of the only node."""
    stats = {"objectCount": objects, "shardCount": classes}
    node = {"name": "secondpass", "status": "HEALTHY", "version": VERSION, "gitHash": build}
    return {"nodes": [{**node, "stats": stats, "shards": []}]}


def _failed_item(body: Any, error: str) -> dict[str, Any]:
    errors = {"error": [{"message": clean_message(error)}]}
    return {
        **_echo(body),
        "deprecations": None,
        "result": {"status": "FAILED", "errors": errors},
    }


def _echo(body: Any) -> dict[str, Any]:
    """Return as much of a rejected object as can be sent back."""
    try:
        echoed = clean_json(body)
    except HttpError:
        echoed = {key: clean_message(str(body.get(key))) for key in ("class", "id")}
    return echoed if isinstance(echoed, dict) else {}
