"""Minutes of mixed requests at twice what the server can do: every answer right or a clean 429.

    python benchmarks/server/overload.py [--minutes 10] [--times 2] [--json FILE]

First every request is asked once, alone: that is what is right. Then several clients ask as
fast as answers come, which is the capacity; then requests come at random moments (a Poisson
process) at `--times` that rate, whether or not the ones before are answered. Memory is the
server's resident size. Exit status 1 where an answer is wrong or neither 200 nor 429, a 429
does not say when to come back, the server is gone, or memory grew by over a tenth from the
first quarter to the last.
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
from sample_questions import paragraphs, queries, questions
from server_process import Server, ours

CLOSED_CLIENTS = 8
CAPACITY_SECONDS = 20.0
MEMORY_EVERY = 2.0
MOST_GROWTH = 0.10
# Scores of one pair may differ in the last places when other pairs share the run.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Ask:
    """A request, and how often it is one of the mix."""

    kind: str
    path: str
    body: Any
    expect: int = 200


@dataclass
class Tally:
    """What came of the requests."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


def mix() -> list[tuple[float, list[Ask]]]:
    """Return the kinds of requests, each with its share."""
    few = [Ask("rerank 5", "/v1/rerank", _rerank(q)) for q in questions(5, 40)]
    more = [Ask("rerank 20", "/v2/rerank", _rerank(q)) for q in questions(20, 40)]
    search = [
        Ask("search", "/api/v1/indexes/docs/search", {"query": query, "top_k": 5})
        for query in queries()[:40]
    ]
    bad = [
        Ask("bad", "/v1/rerank", {"query": "", "documents": ["a"]}, 400),
        Ask("bad", "/api/v1/indexes/docs/search", {"query": "a", "filter": "no = 1"}, 400),
    ]
    return [(0.45, few), (0.25, more), (0.25, search), (0.05, bad)]


def _rerank(question: Any) -> dict[str, Any]:
    return {"model": "m", "query": question.query, "documents": list(question.texts)}


def scores(answer: Any) -> list[tuple[Any, float]]:
    """Return ids or places with their scores, from any of the answers."""
    if "relevance_score" in (answer["results"] or [{}])[0]:
        return [(r["index"], r["relevance_score"]) for r in answer["results"]]
    return [(r["id"], r["score"]) for r in answer["results"]]


def right(found: Any, expected: Any) -> bool:
    """Return whether two answers have the same results with the same scores, but for ties."""
    one, other = dict(scores(found)), dict(scores(expected))
    ordered = [score for _, score in scores(found)]
    if len(one) != len(other) or ordered != sorted(ordered, reverse=True):
        return False
    near = max(TOLERANCE, TOLERANCE * max(abs(s) for s in other.values()))
    worst = min(other.values())
    # At the end of a list that was cut, another of nearly the same score may stand.
    return all(
        abs(score - other[key]) <= near if key in other else abs(score - worst) <= near
        for key, score in one.items()
    )


class Load:
    """Sends requests and keeps the tally."""

    def __init__(self, http: httpx2.AsyncClient, expected: dict[int, Any]) -> None:
        self.http, self.expected = http, expected
        self.tally = Tally()

    async def one(self, ask: Ask) -> None:
        """Send one request and judge its answer."""
        started = time.perf_counter()
        try:
            response = await self.http.post(ask.path, json=ask.body)
        except httpx2.HTTPError as error:
            self.tally.statuses[type(error).__name__] += 1
            self.tally.wrong.append(f"{ask.kind}: {error!r}")
            return
        self.tally.statuses[str(response.status_code)] += 1
        took = time.perf_counter() - started
        self.tally.seconds.setdefault(f"{ask.kind} {response.status_code}", []).append(took)
        if response.status_code == 429:
            if not response.headers.get("retry-after", "").isdigit():
                self.tally.wrong.append(f"{ask.kind}: 429 without Retry-After")
        elif response.status_code != ask.expect:
            self.tally.wrong.append(f"{ask.kind}: {response.status_code} {response.text[:200]}")
        elif ask.expect == 200 and not right(response.json(), self.expected[id(ask)]):
            self.tally.wrong.append(f"{ask.kind}: another answer than alone")


def chosen(parts: list[tuple[float, list[Ask]]], chooser: random.Random) -> Ask:
    (kind,) = chooser.choices([p[1] for p in parts], [p[0] for p in parts])
    return chooser.choice(kind)


async def alone(
    http: httpx2.AsyncClient, parts: list[tuple[float, list[Ask]]]
) -> dict[int, Any]:
    """Return the right answer of every request."""
    found = {}
    for _, asks in parts:
        for ask in asks:
            if ask.expect == 200:
                response = await http.post(ask.path, json=ask.body)
                response.raise_for_status()
                found[id(ask)] = response.json()
    return found


async def capacity(load: Load, parts: list[tuple[float, list[Ask]]], seed: int) -> float:
    """Return how many requests a second are answered when clients wait for each."""
    chooser = random.Random(seed)
    end, done = time.perf_counter() + CAPACITY_SECONDS, 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await load.one(chosen(parts, chooser))
            done += 1

    await asyncio.cached_candidates(*(client() for _ in range(CLOSED_CLIENTS)))
    return done / CAPACITY_SECONDS


async def flood(
    load: Load,
    parts: list[tuple[float, list[Ask]]],
    server: Server,
    rate: float,
    seconds: float,
) -> None:
    """Send at a rate for a while, and wait for what is under way."""
    chooser = random.Random(1)
    started = time.perf_counter()
    waiting: set[asyncio.Task[None]] = set()
    measured = -MEMORY_EVERY
    following = 0.0
    while (now := time.perf_counter() - started) < seconds and server.running():
        if now - measured >= MEMORY_EVERY:
            load.tally.memory.append((now, server.megabytes()))
            measured = now
        if now < following:
            await asyncio.sleep(min(following - now, 0.05))
            continue
        following += chooser.expovariate(rate)
        task = asyncio.create_task(load.one(chosen(parts, chooser)))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    await asyncio.cached_candidates(*waiting)


async def measured(server: Server, times: float, minutes: float) -> dict[str, Any]:
    parts = mix()
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits) as http:
        made = await http.post("/api/v1/indexes", json={"name": "docs", "chunk_tokens": None})
        made.raise_for_status()
        rows = paragraphs()
        for start in range(0, len(rows), 200):
            body = {"documents": rows[start : start + 200]}
            stored = await http.post("/api/v1/indexes/docs/documents", json=body)
            stored.raise_for_status()
        load = Load(http, await alone(http, parts))
        rate = await capacity(load, parts, seed=0)
        print(f"capacity {rate:.1f} requests/s", file=sys.stderr)
        wrong_before = load.tally.wrong
        load.tally = Tally(wrong=wrong_before)
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


def report(found: dict[str, Any]) -> bool:
    """Print what was found; return whether all is well."""
    print(
        f"{found['minutes']:g} minutes at {found['offered']:.1f} requests/s,"
        f" {found['offered'] / found['capacity']:g} times the capacity of"
        f" {found['capacity']:.1f}"
    )
    print("statuses:", found["statuses"])
    print("| request | answers | p50 ms | p95 ms |\n|---|---|---|---|")
    for kind, row in found["seconds"].items():
        p50, p95 = row["p50"] * 1000, row["p95"] * 1000
        print(f"| {kind} | {row['count']} | {p50:.0f} | {p95:.0f} |")
    growth = found["memory_late"] / found["memory_early"] - 1
    print(
        f"memory {found['memory_early']:.0f} MB in the first quarter,"
        f" {found['memory_late']:.0f} MB in the last ({growth:+.1%})"
    )
    print(f"{len(found['wrong'])} wrong answers; alive at the end: {found['alive']}")
    for line in found["wrong"][:10]:
        print(line)
    return not found["wrong"] and found["alive"] and growth <= MOST_GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--times", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        options = ["--data", str(Path(folder) / "data"), "--timeout", "10"]
        with Server(ours(*options), ready="/ready", log=Path(folder) / "log") as server:
            found = asyncio.run(measured(server, arguments.times, arguments.minutes))
        stopped = server.stop()
    print(f"exit status when told to stop: {stopped}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1), "utf-8")
    return 0 if report(found) and stopped == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
