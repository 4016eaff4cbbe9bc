"""A loopback server that keeps the contracts of OpenAI's chat and Anthropic's messages.

It refuses what the real ones refuse, answers with what it is told to, and fails on request.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-0123456789"

Answer = Callable[[str, str], str]
"""From system and user text to the answer."""


@dataclass(frozen=True)
class Got:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `kind`: "status" (with `status`, `headers` and `message`), "reset", "half" (half a
    body), "malformed" (200 and no JSON), "cut" (a stream that ends early), "broken" (an
    event that is no JSON), "error" (an error inside of a stream), "drip" (slow bytes).
    """

    kind: str
    status: int = 500
    message: str = "it broke"
    headers: tuple[tuple[str, str], ...] = (("retry-after", "0"),)
    param: str | None = None


@dataclass
class Loopback:
    """The server's address, what it got, and what it will do."""

    port: int = 0
    answer: Answer = lambda system, user: "Hello, wörld 👩‍👩‍👧!"
    faults: list[Fault] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    logprobs: list[dict[str, float]] | None = None
    usage: bool = True
    finish: str = "end"
    lock: Any = field(default_factory=threading.Lock)

    @property
    def openai(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving() -> Iterator[Loopback]:
    """Run a server for as long as the context lasts."""
    state = Loopback()
    handler = type("Bound", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Loopback

    def log_message(self, *_: object) -> None:
        return

    def do_POST(self) -> None:
        state = self.state
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length))
        headers = {k.lower(): v for k, v in self.headers.items()}
        with state.lock:
            state.got.append(Got(self.path, headers, body))
            fault = state.faults.pop(0) if state.faults else None
        dialect: Any = {"/v1/chat/completions": _OpenAI, "/v1/messages": _Anthropic}.get(
            self.path
        )
        if dialect is None:
            return self._send(404, {"error": {"message": f"no {self.path}"}})
        if fault is not None and fault.kind == "status":
            answer = dialect.error(fault.status, fault.message, fault.param)
            return self._send(fault.status, answer, fault.headers)
        problem = dialect.problem(headers, body) or self._refused(dialect, body)
        if problem is not None:
            return self._send(*problem)
        if fault is not None and fault.kind == "reset":
            self.close_connection = True
            return self.connection.close()
        system, user = dialect.texts(body)
        text = state.answer(system, user)
        if body.get("stream"):
            return self._stream(dialect, text, body, fault)
        whole = json.dumps(dialect.whole(state, text, body)).encode()
        if fault is not None and fault.kind == "malformed":
            whole = b"<html>Bad gateway</html>"
        self._head(200, len(whole))
        if fault is not None and fault.kind == "half":
            self.wfile.write(whole[: len(whole) // 2])
            self.close_connection = True
        elif fault is not None and fault.kind == "drip":
            for i in range(len(whole)):
                self.wfile.write(whole[i : i + 1])
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(whole)
        return None

    def _refused(self, dialect: Any, body: dict[str, Any]) -> tuple[int, Any] | None:
        for name, message in self.state.refuses.items():
            top, _, value = name.partition("=")
            if top in body and (not value or body[top].get("type") == value):
                return 400, dialect.error(400, message, None)
        return None

    def _stream(self, dialect: Any, text: str, body: Any, fault: Fault | None) -> None:
        frames = dialect.frames(self.state, text, body)
        kind = None if fault is None else fault.kind
        if kind == "cut":
            frames = frames[: len(frames) // 2]
        elif kind == "broken":
            frames[len(frames) // 2] = dialect.broken
        elif kind == "error":
            frames[len(frames) // 2] = dialect.midway(KEY)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        data = "".join(frames).encode()
        # Pieces that cut through characters and line breaks.
        for start in range(0, len(data), 7):
            some = data[start : start + 7]
            self.wfile.write(f"{len(some):x}\r\n".encode() + some + b"\r\n")
        if kind == "half":
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, status: int, answer: Any, headers: Any = ()) -> None:
        data = json.dumps(answer).encode()
        self._head(status, len(data), headers)
        self.wfile.write(data)

    def _head(self, status: int, length: int, headers: Any = ()) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(length))
        self.end_headers()


def _pieces(text: str) -> list[str]:
    return [text[i : i + 5] for i in range(0, len(text), 5)]


class _OpenAI:
    broken = "data: {not json\n\n"

    @staticmethod
    def error(status: int, message: str, param: str | None) -> Any:
        return {"error": {"message": message, "type": "error", "param": param, "code": None}}

    @classmethod
    def problem(cls, headers: dict[str, str], body: Any) -> tuple[int, Any] | None:
        if headers.get("authorization") not in (None, f"Bearer {KEY}"):
            return 401, cls.error(401, f"wrong key {headers['authorization']}", None)
        if not body.get("model") or not body.get("messages"):
            return 400, cls.error(400, "model and messages are needed", None)
        return None

    @staticmethod
    def texts(body: Any) -> tuple[str, str]:
        said = {m["role"]: m["content"] for m in body["messages"]}
        return said.get("system", ""), said["user"]

    @staticmethod
    def _finish(state: Loopback) -> str:
        return {"end": "stop", "length": "length", "refusal": "content_filter"}[state.finish]

    @classmethod
    def whole(cls, state: Loopback, text: str, body: Any) -> Any:
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": cls._finish(state),
        }
        if body.get("logprobs") and state.logprobs is not None:
            choice["logprobs"] = {
                "content": [
                    {
                        "token": next(iter(t)),
                        "logprob": next(iter(t.values())),
                        "top_logprobs": [{"token": k, "logprob": v} for k, v in t.items()],
                    }
                    for t in state.logprobs
                ]
            }
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}
        if state.usage:
            answer["usage"] = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
        return answer

    @classmethod
    def frames(cls, state: Loopback, text: str, body: Any) -> list[str]:
        deltas: list[Any] = [{"role": "assistant"}, *({"content": p} for p in _pieces(text))]
        chunks: list[Any] = [
            {"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas
        ]
        chunks.append(
            {"choices": [{"index": 0, "delta": {}, "finish_reason": cls._finish(state)}]}
        )
        if state.usage and body.get("stream_options", {}).get("include_usage"):
            chunks.append(
                {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3}}
            )
        frames = [f"data: {json.dumps(c, ensure_ascii=False)}\n\n" for c in chunks]
        return [": hello\n\n", *frames, "data: [DONE]\n\n"]

    @staticmethod
    def midway(key: str) -> str:
        said = {"error": {"message": f"overloaded, said {key}", "type": "server_error"}}
        return f"data: {json.dumps(said)}\n\n"


class _Anthropic:
    broken = "event: content_block_delta\ndata: {not json\n\n"

    @staticmethod
    def error(status: int, message: str, param: str | None) -> Any:
        return {"type": "error", "error": {"type": "api_error", "message": message}}

    @classmethod
    def problem(cls, headers: dict[str, str], body: Any) -> tuple[int, Any] | None:
        if KEY not in (headers.get("x-api-key"), headers.get("authorization", "")[7:]):
            return 401, cls.error(401, f"invalid key {headers.get('authorization')}", None)
        version = headers.get("anthropic-version")
        if version not in ("2023-06-01", "2026-10-21"):
            return 400, cls.error(400, "anthropic-version", None)
        gone = {"temperature", "top_p", "top_k"} & set(body)
        if gone and version == "2026-10-21":
            return 400, cls.error(400, f"{gone} are gone", None)
        if not {"model", "max_tokens", "messages"} <= set(body):
            return 400, cls.error(400, "model, max_tokens and messages are needed", None)
        return None

    @staticmethod
    def texts(body: Any) -> tuple[str, str]:
        return body.get("system", ""), body["messages"][0]["content"]

    @staticmethod
    def _finish(state: Loopback) -> str:
        return {"end": "end_turn", "length": "max_tokens", "refusal": "refusal"}[state.finish]

    @classmethod
    def whole(cls, state: Loopback, text: str, body: Any) -> Any:
        answer = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "text", "text": text[:4]},
                {"type": "text", "text": text[4:]},
            ],
            "stop_reason": cls._finish(state),
            "stop_sequence": None,
        }
        if state.usage:
            answer["usage"] = {"input_tokens": 11, "output_tokens": 3}
        return answer

    @classmethod
    def frames(cls, state: Loopback, text: str, body: Any) -> list[str]:
        start = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
        usage = {"usage": {"input_tokens": 11, "output_tokens": 1}} if state.usage else {}
        events: list[tuple[str, Any]] = [
            ("message_start", {"message": {**start, **usage}}),
            ("ping", {}),
            (
                "content_block_start",
                {"index": 0, "content_block": {"type": "text", "text": ""}},
            ),
        ]
        for piece in _pieces(text):
            delta = {"type": "text_delta", "text": piece}
            events.append(("content_block_delta", {"index": 0, "delta": delta}))
        events.append(("content_block_stop", {"index": 0}))
        stop = {"delta": {"stop_reason": cls._finish(state), "stop_sequence": None}}
        events.append(
            ("message_delta", {**stop, **({"usage": {"output_tokens": 3}} if usage else {})})
        )
        events.append(("message_stop", {}))
        return [
            f"event: {n}\r\ndata: {json.dumps({'type': n, **d}, ensure_ascii=False)}\r\n\r\n"
            for n, d in events
        ]

    @staticmethod
    def midway(key: str) -> str:
        said = {
            "type": "error",
            "error": {"type": "overloaded_error", "message": f"busy {key}"},
        }
        return f"event: error\ndata: {json.dumps(said)}\n\n"
