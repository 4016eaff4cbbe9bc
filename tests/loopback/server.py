"""A server on a free port of this machine that speaks every dialect, and can misbehave."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.loopback import cloud_dialects, dialects
from tests.loopback.checks import RefusedError

_SOUND = ("/tei/info", "/google/token")
"""What is asked before a request, and never has a fault."""

Fault = Callable[["Handler", Any], bool]
"""Gets the handler and the sound answer; True if it has answered (or not) itself."""


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any
    length: int = 0
    content: bytes = b""
    answer_headers: dict[str, str] = field(default_factory=dict)


class Loopback(ThreadingHTTPServer):
    """`seen` has every request; `faults` are used up one by one, `always` stays."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tei_batch = 32
        self.reset()

    def reset(self) -> None:
        self.seen: list[Seen] = []
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next_fault(self) -> Fault | None:
        return self.faults.popleft() if self.faults else self.always

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Loopback

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        content = self.rfile.read(length)
        headers = {k.lower(): v for k, v in self.headers.items()}
        seen = Seen(self.command, self.path, headers, None, length, content)
        try:
            is_form = headers.get("content-type") == "application/x-www-form-urlencoded"
            seen.json = json.loads(content) if content and not is_form else None
            self.server.seen.append(seen)
            answer = route(self.server, seen)
        except (RefusedError, ValueError) as error:
            refused = (
                error if isinstance(error, RefusedError) else RefusedError(400, str(error))
            )
            self.answer(refused.status, refused.body, refused.headers)
            return
        fault = None if seen.path in _SOUND else self.server.next_fault()
        if fault is None or not fault(self, answer):
            self.answer(200, answer, seen.answer_headers)

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.raw(status, content, {"content-type": "application/json", **(headers or {})})

    def raw(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing."""


def route(server: Loopback, seen: Seen) -> Any:
    """Answer as the dialect whose prefix the path has."""
    routes: dict[tuple[str, str], Callable[[Seen], Any]] = {
        ("POST", "/cohere/v1/rerank"): partial(dialects.cohere, version=1),
        ("POST", "/cohere/v2/rerank"): partial(dialects.cohere, version=2),
        ("POST", "/jina/rerank"): dialects.jina,
        ("POST", "/voyage/rerank"): dialects.voyage,
        ("POST", "/mixedbread/v1/reranking"): dialects.mixedbread,
        ("POST", "/tei/rerank"): partial(dialects.tei, most=server.tei_batch),
        ("GET", "/tei/info"): partial(dialects.tei_info, most=server.tei_batch),
        ("POST", "/infinity/rerank"): dialects.infinity,
        ("POST", "/vllm/rerank"): dialects.vllm,
        ("POST", "/weaviate/rerank"): dialects.weaviate,
        ("POST", "/azure/providers/cohere/v2/rerank"): cloud_dialects.azure,
        ("POST", "/bedrock/rerank"): cloud_dialects.bedrock,
        ("POST", "/contextual/rerank"): cloud_dialects.contextual,
        ("POST", "/dashscope/services/rerank/text-rerank/text-rerank"): (
            cloud_dialects.dashscope
        ),
        ("POST", "/google/token"): cloud_dialects.google_token,
        ("POST", "/llama-server/v1/rerank"): cloud_dialects.llama_server,
        ("POST", "/localai/v1/rerank"): cloud_dialects.localai,
        ("POST", "/nim/v1/ranking"): partial(cloud_dialects.nvidia, keyed=False),
        ("POST", "/nvidia/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking"): (
            partial(cloud_dialects.nvidia, keyed=True)
        ),
        ("POST", "/pinecone/rerank"): cloud_dialects.pinecone,
        (
            "POST",
            f"/vertex/projects/{cloud_dialects.PROJECT}/locations/global/rankingConfigs"
            "/default_ranking_config:rank",
        ): cloud_dialects.vertex,
        ("POST", "/zeroentropy/models/rerank"): cloud_dialects.zeroentropy,
        ("POST", "/cloudflare/accounts/acc/ai/run/@cf/baai/bge-reranker-base"): (
            dialects.cloudflare
        ),
    }
    if (seen.method, seen.path) not in routes:
        raise RefusedError(404, {"message": f"there is no {seen.method} {seen.path}"})
    return routes[seen.method, seen.path](seen)


@contextmanager
def running() -> Iterator[Loopback]:
    """Serve until the block ends."""
    server = Loopback()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
