"""What servers do instead of answering."""

from __future__ import annotations

import copy
import json
import math
import socket
import struct
from typing import Any

from tests.loopback.server import Handler


def rows_of(answer: Any) -> tuple[list[Any], str, str]:
    """Return the list of results in an answer, and the keys of index and score."""
    if isinstance(answer, list):
        return answer, "index", "score"
    found = answer.get("output", answer)
    for key in ("results", "data", "rankings", "records"):
        if key in found:
            first = found[key][0]
            scores = ("relevance_score", "relevanceScore", "logit", "score")
            index = "index" if "index" in first else "id"
            return found[key], index, next(name for name in scores if name in first)
    if "scores" in answer:
        return answer["scores"], "document", "score"
    return answer["result"]["response"], "id", "score"


def changed(change: Any) -> Any:
    """Return a fault that answers 200 after `change(rows, index, score)`."""

    def fault(handler: Handler, answer: Any) -> bool:
        answer = copy.deepcopy(answer)
        change(*rows_of(answer))
        handler.answer(200, answer)
        return True

    return fault


def status(code: int, headers: dict[str, str] | None = None, body: Any = None) -> Any:
    def fault(handler: Handler, answer: Any) -> bool:
        handler.answer(code, {"message": "no"} if body is None else body, headers)
        return True

    return fault


def hang(handler: Handler, answer: Any) -> bool:
    handler.server.released.wait(30)
    handler.close_connection = True
    return True


def reset(handler: Handler, answer: Any) -> bool:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    return True


def half_a_body(handler: Handler, answer: Any) -> bool:
    content = json.dumps(answer).encode()
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.close_connection = True
    return True


def cut_json(handler: Handler, answer: Any) -> bool:
    content = json.dumps(answer).encode()
    handler.raw(200, content[: len(content) // 2], {"content-type": "application/json"})
    return True


def page(handler: Handler, answer: Any) -> bool:
    handler.raw(200, b"<html>Please sign in</html>", {"content-type": "text/html"})
    return True


def drip(handler: Handler, answer: Any) -> bool:
    """One byte at a time, for ever: no read ever times out, only a deadline helps."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "100000")
    handler.end_headers()
    while not handler.server.released.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()
    handler.close_connection = True
    return True


def error_with_200(handler: Handler, answer: Any) -> bool:
    handler.answer(
        200, {"success": False, "error": "quota exceeded", "detail": "quota exceeded"}
    )
    return True


def nothing(handler: Handler, answer: Any) -> bool:
    handler.raw(200, b"", {})
    return True


def _double(rows: list[Any], index: str, score: str) -> None:
    rows[-1][index] = rows[0][index]


def _beyond(rows: list[Any], index: str, score: str) -> None:
    rows[0][index] = "another text" if index == "document" else 10**6


def _below(rows: list[Any], index: str, score: str) -> None:
    rows[0][index] = "another text" if index == "document" else -1


def _set(value: Any) -> Any:
    def change(rows: list[Any], index: str, score: str) -> None:
        rows[0][score] = value

    return change


UNSOUND = {
    "too few": changed(lambda rows, i, s: rows.pop()),
    "none": changed(lambda rows, i, s: rows.clear()),
    "too many": changed(lambda rows, i, s: rows.append(dict(rows[0]))),
    "the same twice": changed(_double),
    "beyond the list": changed(_beyond),
    "below 0": changed(_below),
    "nan": changed(_set(math.nan)),
    "infinity": changed(_set(math.inf)),
    "null": changed(_set(None)),
    "text": changed(_set("0.9")),
    "boolean": changed(_set(True)),
    "huge": changed(_set(10**400)),
    "no score": changed(lambda rows, i, s: rows[0].pop(s)),
    "not an object": changed(lambda rows, i, s: rows.__setitem__(0, 3)),
    "an error": error_with_200,
    "a page": page,
    "nothing": nothing,
    "cut json": cut_json,
}
"""Answers with status 200 that are no answers."""

BROKEN = {
    "half a body": half_a_body,
    "reset": reset,
    "status 500": status(500),
    "status 503": status(503),
    "429": status(429, {"retry-after": "0"}),
    "429 for an hour": status(429, {"retry-after": "3600"}),
    "status 408": status(408),
    "status 425": status(425),
}
"""Failures that another attempt may not meet."""
