"""Overload: minutes of mixed requests at twice the server's capacity.

    python benchmarks/server/overload.py [--minutes 10] [--times 2] [--json FILE]

First every request is sent once, alone: that gives the expected responses. Then several clients
send as fast as they get responses, which gives the capacity. Then requests arrive at random, as
a Poisson process at `--times` that rate, whether or not earlier ones are done. Memory is the
server's resident size. Exit status 1 if a response is wrong or neither 200 nor 429, if a 429
has no Retry-After, if the server exited, or if memory grew by over a tenth from the first
quarter to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from sample_questions import load_paragraphs, load_queries, load_questions
from server_process import Server, secondpass_command

CLOSED_CLIENTS = 8
CAPACITY_SECONDS = 20.0
MEMORY_EVERY = 2.0
MAX_GROWTH = 0.10
# The scores of a pair may differ in the last digits with the other pairs of a batch.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class LoadRequest:
    """A request of the mix, and the status that it gets when the server is not busy."""

    kind: str
    path: str
    body: Any
    expect: int = 200


@dataclass
class Tally:
    """Counts of the responses, their times, and the server's memory over time."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


def request_mix() -> list[tuple[float, list[LoadRequest]]]:
    """Return the kinds of requests, each with its share of the load."""
    few = [LoadRequest("rerank 5", "/v1/rerank", _rerank(q)) for q in load_questions(5, 40)]
    more = [LoadRequest("rerank 20", "/v2/rerank", _rerank(q)) for q in load_questions(20, 40)]
    search = [
        LoadRequest("search", "/api/v1/indexes/docs/search", {"query": query, "top_k": 5})
        for query in load_queries()[:40]
    ]
    bad = [
        LoadRequest("bad", "/v1/rerank", {"query": "", "documents": ["a"]}, 400),
        LoadRequest(
            "bad", "/api/v1/indexes/docs/search", {"query": "a", "filter": "no = 1"}, 400
        ),
    ]
    return [(0.45, few), (0.25, more), (0.25, search), (0.05, bad)]


def _rerank(question: Any) -> dict[str, Any]:
    return {"model": "m", "query": question.query, "documents": list(question.texts)}


def scores(answer: Any) -> list[tuple[Any, float]]:
    """Return ids or indices with their scores, from any of the responses."""
    if "relevance_score" in (answer["results"] or [{}])[0]:
        return [(r["index"], r["relevance_score"]) for r in answer["results"]]
    return [(r["id"], r["score"]) for r in answer["results"]]


def same_results(actual: Any, expected: Any) -> bool:
    """Return whether two responses have the same results and scores, except for ties."""
    actual_scores, expected_scores = dict(scores(actual)), dict(scores(expected))
    ordered = [score for _, score in scores(actual)]
    if len(actual_scores) != len(expected_scores) or ordered != sorted(ordered, reverse=True):
        return False
    near = max(TOLERANCE, TOLERANCE * max(abs(s) for s in expected_scores.values()))
    worst = min(expected_scores.values())
    # The last result may be another one with nearly the same score.
    return all(
        abs(score - expected_scores[key]) <= near
        if key in expected_scores
        else abs(score - worst) <= near
        for key, score in actual_scores.items()
    )


class Load:
    """Sends requests and counts the responses."""

    def __init__(self, http: httpx2.AsyncClient, expected: dict[int, Any]) -> None:
        self.http, self.expected = http, expected
        self.tally = Tally()

    async def send(self, request: LoadRequest) -> None:
        """Send one request and check its response."""
        started = time.perf_counter()
        try:
            response = await self.http.post(request.path, json=request.body)
        except httpx2.HTTPError as error:
            self.tally.statuses[type(error).__name__] += 1
            self.tally.wrong.append(f"{request.kind}: {error!r}")
            return
        self.tally.statuses[str(response.status_code)] += 1
        took = time.perf_counter() - started
        self.tally.seconds.setdefault(f"{request.kind} {response.status_code}", []).append(took)
        if response.status_code == 429:
            if not response.headers.get("retry-after", "").isdigit():
                self.tally.wrong.append(f"{request.kind}: 429 without Retry-After")
        elif response.status_code != request.expect:
            self.tally.wrong.append(
                f"{request.kind}: {response.status_code} {response.text[:200]}"
            )
        elif request.expect == 200 and not same_results(
            response.json(), self.expected[id(request)]
        ):
            self.tally.wrong.append(
                f"{request.kind}: the response differs from the expected one"
            )


def draw_request(
    parts: list[tuple[float, list[LoadRequest]]], rng: random.Random
) -> LoadRequest:
    (kind,) = rng.choices([p[1] for p in parts], [p[0] for p in parts])
    return rng.choice(kind)


async def expected_responses(
    http: httpx2.AsyncClient, parts: list[tuple[float, list[LoadRequest]]]
) -> dict[int, Any]:
    """Return the expected response of every request, by the request's id."""
    expected = {}
    for _, requests in parts:
        for request in requests:
            if request.expect == 200:
                response = await http.post(request.path, json=request.body)
                response.raise_for_status()
                expected[id(request)] = response.json()
    return expected


async def capacity(
    load: Load, parts: list[tuple[float, list[LoadRequest]]], seed: int
) -> float:
    """Return the requests a second of clients that wait for each response."""
    rng = random.Random(seed)
    end, done = time.perf_counter() + CAPACITY_SECONDS, 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await load.send(draw_request(parts, rng))
            done += 1

    await asyncio.gather(*(client() for _ in range(CLOSED_CLIENTS)))
    return done / CAPACITY_SECONDS


async def flood(
    load: Load,
    parts: list[tuple[float, list[LoadRequest]]],
    server: Server,
    rate: float,
    seconds: float,
) -> None:
    """Send at a rate for some seconds, then wait for the pending requests."""
    rng = random.Random(1)
    started = time.perf_counter()
    pending: set[asyncio.Task[None]] = set()
    last_measured = -MEMORY_EVERY
    next_arrival = 0.0
    while (now := time.perf_counter() - started) < seconds and server.running():
        if now - last_measured >= MEMORY_EVERY:
            load.tally.memory.append((now, server.megabytes()))
            last_measured = now
        if now < next_arrival:
            await asyncio.sleep(min(next_arrival - now, 0.05))
            continue
        next_arrival += rng.expovariate(rate)
        task = asyncio.create_task(load.send(draw_request(parts, rng)))
        pending.add(task)
        task.add_done_callback(pending.discard)
    await asyncio.gather(*pending)


async def run_benchmark(server: Server, times: float, minutes: float) -> dict[str, Any]:
    parts = request_mix()
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits) as http:
        created = await http.post(
            "/api/v1/indexes", json={"name": "docs", "chunk_tokens": None}
        )
        created.raise_for_status()
        rows = load_paragraphs()
        for start in range(0, len(rows), 200):
            body = {"documents": rows[start : start + 200]}
            stored = await http.post("/api/v1/indexes/docs/documents", json=body)
            stored.raise_for_status()
        load = Load(http, await expected_responses(http, parts))
        rate = await capacity(load, parts, seed=0)
        print(f"capacity {rate:.1f} requests/s", file=sys.stderr)
        load.tally = Tally(wrong=load.tally.wrong)
        await flood(load, parts, server, times * rate, minutes * 60)
    tally = load.tally
    quarter = max(1, len(tally.memory) // 4)
    early = statistics.median(mb for _, mb in tally.memory[:quarter])
    late = statistics.median(mb for _, mb in tally.memory[-quarter:])
    return {
        "capacity": rate,
        "offered": times * rate,
        "minutes": minutes,
        "statuses": dict(tally.statuses),
        "wrong": tally.wrong,
        "memory_early": early,
        "memory_late": late,
        "memory": tally.memory,
        "alive": server.running(),
        "seconds": {
            kind: {"count": len(s), "p50": statistics.median(s), "p95": _p95(s)}
            for kind, s in sorted(tally.seconds.items())
        },
    }


def _p95(seconds: list[float]) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def report(results: dict[str, Any]) -> bool:
    """Print the results; return whether the server passed."""
    print(
        f"{results['minutes']:g} minutes at {results['offered']:.1f} requests/s,"
        f" {results['offered'] / results['capacity']:g} times the capacity of"
        f" {results['capacity']:.1f}"
    )
    print("statuses:", results["statuses"])
    print("| request | responses | p50 ms | p95 ms |\n|---|---|---|---|")
    for kind, row in results["seconds"].items():
        p50, p95 = row["p50"] * 1000, row["p95"] * 1000
        print(f"| {kind} | {row['count']} | {p50:.0f} | {p95:.0f} |")
    growth = results["memory_late"] / results["memory_early"] - 1
    print(
        f"memory {results['memory_early']:.0f} MB in the first quarter,"
        f" {results['memory_late']:.0f} MB in the last ({growth:+.1%})"
    )
    print(f"{len(results['wrong'])} wrong responses; running at the end: {results['alive']}")
    for line in results["wrong"][:10]:
        print(line)
    return not results["wrong"] and results["alive"] and growth <= MAX_GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--times", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        options = ["--data", str(Path(folder) / "data"), "--timeout", "10"]
        with Server(
            secondpass_command(*options), ready="/ready", log=Path(folder) / "log"
        ) as server:
            results = asyncio.run(run_benchmark(server, arguments.times, arguments.minutes))
        stopped = server.stop()
    print(f"exit status after SIGTERM: {stopped}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1), "utf-8")
    return 0 if report(results) and stopped == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
