"""Concurrent searches by Weaviate's gRPC and over HTTP: rate, latency, memory.

    python benchmarks/server/searches.py [--clients 1 8 100] [--seconds 8] [--exits]

The sample of Wikipedia is stored in a class and in an index. Each client sends questions one
after another: BM25, hybrid, and hybrid with a second pass. Each line ends with the server's
memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import httpx2
from server_process import Server, free_port, secondpass_command

from secondpass.server.weaviate.grpc.messages import SearchRequest

SAMPLE = Path(__file__).parents[2] / "examples" / "wikipedia"
LIMIT = 20
Send = Callable[[str], str]
"""Sends one question and returns the status of the response."""


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text("utf-8").splitlines()]


@contextmanager
def by_grpc(port: int, kind: str) -> Iterator[Send]:
    # Each client has a connection of its own.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call = channel.unary_unary("/weaviate.v1.Weaviate/Search")

        def send(question: str) -> str:
            request = SearchRequest(collection="Doc", limit=LIMIT)
            if kind == "words":
                request.bm25_search.query = question
            else:
                request.hybrid_search.query, request.hybrid_search.alpha = question, 0.5
            if kind == "second pass":
                request.rerank.property = "text"
            try:
                call(request.SerializeToString(), timeout=60)
            except grpc.RpcError as error:
                failure: Any = error
                return str(failure.code().name)
            return "ok"

        yield send


@contextmanager
def by_http(url: str, kind: str) -> Iterator[Send]:
    body: dict[str, Any] = {"candidates": 50, "top_k": 10, "rerank": kind == "second pass"}
    body["mode"] = "bm25" if kind == "words" else "hybrid"
    with httpx2.Client(base_url=url, timeout=60) as http:

        def send(question: str) -> str:
            response = http.post(
                "/api/v1/indexes/docs/search", json={**body, "query": question}
            )
            return "ok" if response.status_code == 200 else str(response.status_code)

        yield send


def measure_searches(
    open_client: Callable[[], Any], questions: list[str], clients: int, seconds: float
) -> str:
    """Return the rate, latency and refusals that `clients` clients get in `seconds`."""
    times: list[float] = []
    refused: Counter[str] = Counter()
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        with open_client() as send:
            while time.monotonic() < end:
                started = time.perf_counter()
                status = send(questions[number % len(questions)])
                number += clients
                if status == "ok":
                    times.append(time.perf_counter() - started)
                else:
                    refused[status] += 1
                    time.sleep(0.2)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cuts = [1000 * cut for cut in statistics.quantiles(times, n=20)] if len(times) > 1 else []
    latency = f"p50 {cuts[9]:6.0f} ms  p95 {cuts[18]:6.0f} ms" if cuts else "no response"
    return f"{len(times) / seconds:6.1f}/s  {latency}  {dict(refused) or ''}"


def store_sample(http: httpx2.Client) -> None:
    rows = lines("corpus.jsonl")
    definition = {"class": "Doc", "vectorizer": "text2vec-transformers"}
    http.post("/v1/schema", json=definition).raise_for_status()
    http.post("/api/v1/indexes", json={"name": "docs"}).raise_for_status()
    for start in range(0, len(rows), 200):
        texts = [row["text"] for row in rows[start : start + 200]]
        objects = [{"class": "Doc", "properties": {"text": text}} for text in texts]
        http.post("/v1/batch/objects", json={"objects": objects}).raise_for_status()
        documents = [{"id": str(start + n), "text": text} for n, text in enumerate(texts)]
        body = {"documents": documents}
        http.post("/api/v1/indexes/docs/documents", json=body).raise_for_status()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 100])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--exits", action="store_true", help="serve with --exits")
    arguments = parser.parse_args()
    questions = [row["text"] for row in lines("queries.jsonl")]
    with TemporaryDirectory() as folder:
        port = free_port()
        options = ["--data", f"{folder}/data", "--grpc-port", str(port)]
        options += ["--exits"] if arguments.exits else []
        log = Path(folder) / "log"
        with Server(secondpass_command(*options), ready="/ready", log=log) as server:
            with httpx2.Client(base_url=server.url, timeout=300) as http:
                store_sample(http)
            print(f"stored, {server.megabytes():.0f} MB", flush=True)
            protocols: dict[str, Callable[[str], Any]] = {
                "gRPC": lambda kind: by_grpc(port, kind),
                "HTTP": lambda kind: by_http(server.url, kind),
            }
            for protocol, open_client in protocols.items():
                for kind in ("words", "both", "second pass"):
                    for clients in arguments.clients:
                        row = measure_searches(
                            lambda open_client=open_client, kind=kind: open_client(kind),
                            questions,
                            clients,
                            arguments.seconds,
                        )
                        print(
                            f"{protocol}  {kind:11}  {clients:3} clients  {row}  "
                            f"{server.megabytes():.0f} MB",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
