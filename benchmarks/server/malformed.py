"""Thousands of malformed requests on every path: no status 500, no hang, always JSON.

    python benchmarks/server/malformed.py [--requests 10000]

Half of them are what schemathesis makes of the OpenAPI document, half are mutations of good
requests to every dialect: wrong types, missing and odd values, broken JSON, deep nesting,
wrong methods and headers; and half as many again are calls by gRPC with fields of any value
and flipped bytes. Exit status 1 where an answer is 5xx, or what gRPC has for it, is no JSON,
takes over `--seconds`, or the server is gone afterwards.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import httpx2
from grpc_mutations import WRONG, called
from request_mutations import CLOUDFLARE, GOOD, break_json, mutate
from server_process import Server, free_port, ours

# What a mutation may rightly meet: the model failed is not among them.
RIGHT = range(200, 500)


def schemathesis(url: str, most: int) -> int:
    """Run schemathesis over the OpenAPI document; return its exit status."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/api/v1/openapi.json"]
    command += ["--checks", "not_a_server_error", "--phases", "fuzzing", "--mode", "all"]
    command += ["--max-examples", str(most), "--request-timeout", "30", "--no-color"]
    return subprocess.run(command, check=False).returncode


def sent(http: httpx2.Client, rng: random.Random) -> tuple[str, httpx2.Response, float]:
    """Send one malformed request; return its path, the answer, and its seconds."""
    method, path, good = rng.choice(GOOD)
    if rng.random() < 0.15:
        content: bytes = break_json(good, rng)
    else:
        content = mutate(good, rng)
    headers = {"content-type": rng.choice(["application/json", "text/plain", "x/y"])}
    if rng.random() < 0.05:
        method = rng.choice(["GET", "PUT", "DELETE", "PATCH", "POST"])
    started = time.perf_counter()
    response = http.request(method, path, content=content, headers=headers)
    return f"{method} {path}", response, time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    statuses: Counter[int] = Counter()
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    with TemporaryDirectory() as folder:
        port = free_port()
        options = ["--data", str(Path(folder) / "data"), "--timeout", "20"]
        options += ["--grpc-port", str(port)]
        with Server(ours(*options), ready="/ready", log=Path(folder) / "log") as server:
            with httpx2.Client(base_url=server.url, timeout=60) as http:
                _fill(http)
                for _ in range(arguments.requests // 2):
                    name, response, seconds = sent(http, rng)
                    statuses[response.status_code] += 1
                    why = _wrong(response, seconds, arguments.seconds)
                    if why is not None:
                        wrong.append(f"{name}: {why}: {response.request.content[:200]!r}")
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                for _ in range(arguments.requests // 2):
                    name, code, seconds = called(channel, rng)
                    codes[code.name] += 1
                    if code in WRONG or seconds > arguments.seconds:
                        wrong.append(f"{name}: {code.name} after {seconds:.0f} s")
            failed = schemathesis(server.url, arguments.requests // 2 // 8)
            alive = server.running()
            status = httpx2.get(f"{server.url}/ready", timeout=30).status_code
    print("statuses of mutations:", dict(sorted(statuses.items())))
    print("codes of calls:", dict(sorted(codes.items())))
    print(f"{len(wrong)} wrong answers; schemathesis ended with {failed}; alive: {alive}")
    for line in wrong[:20]:
        print(line)
    return 0 if not wrong and not failed and alive and status == 200 else 1


def _wrong(response: httpx2.Response, seconds: float, most: float) -> str | None:
    if response.status_code not in RIGHT:
        return f"status {response.status_code}"
    if seconds > most:
        return f"{seconds:.0f} s"
    if response.status_code >= 400:
        try:
            response.json()
        except ValueError:
            if response.status_code not in (404, 405):
                return f"{response.status_code} is not JSON"
    return None


def _fill(http: httpx2.Client) -> None:
    http.post("/api/v1/indexes", json={"name": "docs"})
    http.post("/v1/schema", json={"class": "Doc"})
    http.post("/v1/schema", json={"class": "Made", "vectorizer": "text2vec-transformers"})
    objects = [{"class": name, "properties": {"text": "the sea"}} for name in ("Doc", "Made")]
    http.post("/v1/batch/objects", json={"objects": objects})
    http.post(CLOUDFLARE, json={"id": "docs"})
    row: dict[str, Any] = {"id": "a", "text": "the sea", "metadata": {"year": 2001}}
    http.post("/api/v1/indexes/docs/documents", json={"documents": [row]})


if __name__ == "__main__":
    sys.exit(main())
