"""The load of `faults.py`: searches at a steady rate, each compared with the right answer."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

WORDS = ("river", "sea", "ship", "bread", "water", "harbor", "tea", "storm", "bridge", "field")
TOLERANCE = 1e-3
CLIENTS = 32
KINDS = ("right", "partial", "refused", "failed", "wrong")
"""What an answer can be, as `faults.py` says."""
_TIMEOUT = 40.0
QUERIES = [f"a {a} near the {b}" for a in WORDS[:5] for b in WORDS[5:]]


def passages(count: int) -> list[dict[str, str]]:
    """Return short passages over few words, so that each query has many candidates.

    Each has a number, so that no two have the same vector.
    """
    draw = random.Random(3)
    text = "The {} is near the {}. A {} was seen {} times."
    return [
        {"id": f"d{i}", "text": text.format(*draw.sample(WORDS, 3), i)} for i in range(count)
    ]


@dataclass
class Load:
    """Searches at a steady rate, each compared with what a quiet server answered."""

    url: str
    candidates: int = 30
    expected: dict[str, dict[str, float]] = field(default_factory=dict)
    seen: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def ask(self, query: str) -> httpx2.Response:
        """Send one search."""
        # Half of such passages have equal BM25 scores for a query, and which of these are among
        # the first candidates differs between versions of an index. Vectors are all different.
        body = {
            "query": query,
            "mode": "vector",
            "candidates": self.candidates,
            "top_k": self.candidates,
            "blend": False,
        }
        return httpx2.post(
            f"{self.url}/api/v1/indexes/docs/search", json=body, timeout=_TIMEOUT
        )

    def learn(self) -> None:
        """Ask each query once, and keep the results as the right ones."""
        for query in QUERIES:
            found = self.ask(query)
            found.raise_for_status()
            self.expected[query] = {r["id"]: r["score"] for r in found.json()["results"]}

    def kind(self, query: str) -> str:
        """Ask one query, and say what its answer is."""
        try:
            found = self.ask(query)
        except httpx2.HTTPError as error:
            self.others[f"failed: {type(error).__name__} {error}"[:120]] += 1
            return "failed"
        if found.status_code != 200:
            kind = "refused" if found.status_code in (429, 503) else "failed"
            kind = "wrong" if found.status_code < 429 else kind
            self.others[f"{kind}: {found.status_code} {found.text}"[:120]] += 1
            return kind
        body, right = found.json(), self.expected[query]
        read = {r["id"]: r["score"] for r in body["results"] if r["scored"]}
        known = all(abs(right.get(i, 1e9) - score) < TOLERANCE for i, score in read.items())
        if known and body["status"] == "reranked" and read.keys() == right.keys():
            return "right"
        if known and body["status"] == "partially_reranked":
            return "partial"
        bad = [i for i, score in read.items() if abs(right.get(i, 1e9) - score) >= TOLERANCE]
        self.wrong.append(
            f"{body['status']}, {query!r}: {len(read)} of {len(right)} read, not right: {bad}"
        )
        return "wrong"

    def lately(self, seconds: float) -> set[str]:
        """Return the kinds of the searches of the last so many seconds that were answered."""
        after = time.monotonic() - seconds
        return {kind for began, kind in list(self.seen) if began > after}

    @contextmanager
    def going(self, rate: float) -> Iterator[None]:
        """Send searches inside, so many a second."""
        stop, self.seen = threading.Event(), []

        def one(query: str) -> None:
            began = time.monotonic()
            kind = self.kind(query)
            self.seen.append((began, kind))

        def run() -> None:
            draw = random.Random(7)
            with ThreadPoolExecutor(CLIENTS) as threads:
                while not stop.wait(1 / rate):
                    threads.submit(one, draw.choice(QUERIES))

        sending = threading.Thread(target=run)
        sending.start()
        try:
            yield
        finally:
            stop.set()
            sending.join()


def wait_for_shards(url: str, seconds: float = 120) -> bool:
    """Wait until all shards answer again; return whether they did in so many seconds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            found = httpx2.get(f"{url}/ready", timeout=10)
        except httpx2.HTTPError:
            time.sleep(0.5)
            continue
        if found.status_code == 200 and not found.json()["indexes"]["docs"]["missing_shards"]:
            return True
        time.sleep(0.5)
    return False
