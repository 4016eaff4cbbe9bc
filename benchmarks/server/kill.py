"""What is left of documents that were acknowledged, after the server is killed while storing.

    python benchmarks/server/kill.py [--rounds 10]

In each round several clients store documents by the own interface and by Weaviate's batches,
and upload files to Cloudflare AI Search. At a random moment the server gets SIGKILL and is
started again on the same folder: every document that was acknowledged must be there, and
every uploaded file be indexed before long.
Exit status 1 where one is not.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from sample_questions import paragraphs
from server_process import Server, ours

CLIENTS = 2


class Writer:
    """One client that stores documents in one dialect, and remembers what was acknowledged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stored: set[str] = set()

    def prepare(self, http: httpx2.Client) -> None:
        """Make what documents are stored in, where it is not there."""
        raise NotImplementedError

    def write(self, http: httpx2.Client, number: int, texts: list[str]) -> None:
        """Store texts; what is acknowledged goes into `stored`."""
        raise NotImplementedError

    def missing(self, http: httpx2.Client) -> set[str]:
        """Return what was acknowledged and is not there."""
        raise NotImplementedError


class Native(Writer):
    """The own interface: a few documents a request."""

    def prepare(self, http: httpx2.Client) -> None:
        """Make the index."""
        http.post("/api/v1/indexes", json={"name": "docs", "chunk_tokens": None})

    def write(self, http: httpx2.Client, number: int, texts: list[str]) -> None:
        """Store all in one request."""
        names = [f"{self.name}-{number}-{i}" for i in range(len(texts))]
        documents = [{"id": i, "text": t} for i, t in zip(names, texts, strict=True)]
        done = http.post("/api/v1/indexes/docs/documents", json={"documents": documents})
        if done.status_code == 200:
            self.stored |= set(names)

    def missing(self, http: httpx2.Client) -> set[str]:
        """Return what is not there; all of it is gone afterwards."""
        return {name for name in self.stored if not _has(http, name)}


def _has(http: httpx2.Client, name: str) -> bool:
    # A document that is there is counted when it is removed.
    gone = http.delete("/api/v1/indexes/docs/documents", params={"id": name}).json()
    return bool(gone["deleted"])


class Weaviate(Writer):
    """Weaviate's batches: some objects a request, each acknowledged by itself."""

    def prepare(self, http: httpx2.Client) -> None:
        """Make the class."""
        about = {
            "class": "Doc",
            "vectorizer": "text2vec-transformers",
            "properties": [{"name": "text", "dataType": ["text"]}],
        }
        http.post("/v1/schema", json=about)

    def write(self, http: httpx2.Client, number: int, texts: list[str]) -> None:
        """Store all in one batch."""
        objects = [
            {
                "class": "Doc",
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.name}-{number}-{i}")),
                "properties": {"text": text},
            }
            for i, text in enumerate(texts)
        ]
        done = http.post("/v1/batch/objects", json={"objects": objects})
        if done.status_code == 200:
            rows = [row for row in done.json() if row["result"]["status"] == "SUCCESS"]
            self.stored |= {row["id"] for row in rows}

    def missing(self, http: httpx2.Client) -> set[str]:
        """Return what is not there."""
        found = {i: http.get(f"/v1/objects/Doc/{i}").status_code for i in self.stored}
        return {name for name, status in found.items() if status != 200}


class Cloudflare(Writer):
    """Uploads to Cloudflare AI Search: acknowledged at once, indexed afterwards."""

    _BASE = "/client/v4/accounts/a/ai-search/namespaces/default/instances"

    def prepare(self, http: httpx2.Client) -> None:
        """Make the instance."""
        http.post(self._BASE, json={"id": "docs"})

    def write(self, http: httpx2.Client, number: int, texts: list[str]) -> None:
        """Upload one file, without waiting for its indexing."""
        name = f"{self.name}-{number}.md"
        files = {"file": (name, "\n\n".join(texts).encode(), "text/markdown")}
        done = http.post(f"{self._BASE}/docs/items", files=files)
        if done.status_code == 200:
            self.stored.add(done.json()["result"]["id"])

    def missing(self, http: httpx2.Client) -> set[str]:
        """Return what is not there, or is not indexed within a while."""
        left, end = set(self.stored), time.monotonic() + 300
        while left and time.monotonic() < end:
            for name in sorted(left):
                got = http.get(f"{self._BASE}/docs/items/{name}")
                if got.status_code == 200 and got.json()["result"]["status"] == "completed":
                    left.discard(name)
                elif got.status_code == 404:
                    return left
            time.sleep(1)
        return left


WRITERS: dict[str, Callable[[str], Writer]] = {
    "native": Native,
    "weaviate": Weaviate,
    "cloudflare": Cloudflare,
}


def load(url: str, writer: Writer, texts: list[str], turn: int, stop: threading.Event) -> None:
    """Store until the server is gone."""
    rng = random.Random(f"{writer.name}{turn}")
    with httpx2.Client(base_url=url, timeout=60) as http:
        number = turn * 1_000_000
        while not stop.is_set():
            number += 1
            some = rng.sample(texts, rng.randint(1, 8))
            try:
                writer.write(http, number, [f"{writer.name} {number} {text}" for text in some])
            except httpx2.HTTPError:
                return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--dialects", nargs="+", choices=WRITERS, default=list(WRITERS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    texts = [row["text"] for row in paragraphs()]
    writers = [
        WRITERS[name](f"{name}-{i}") for name in arguments.dialects for i in range(CLIENTS)
    ]
    lost: set[str] = set()
    with TemporaryDirectory() as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        for turn in range(arguments.rounds):
            server = Server(ours("--data", str(data)), ready="/ready", log=log).start()
            with httpx2.Client(base_url=server.url, timeout=60) as http:
                for writer in writers:
                    writer.prepare(http)
            stop = threading.Event()
            threads = [
                threading.Thread(target=load, args=(server.url, w, texts, turn, stop))
                for w in writers
            ]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(1, 6))
            server.kill()
            stop.set()
            for thread in threads:
                thread.join()
            again = Server(ours("--data", str(data)), ready="/ready", log=log)
            with again, httpx2.Client(base_url=again.url, timeout=60) as http:
                gone: set[str] = set()
                for writer in writers:
                    gone |= writer.missing(http)
                    stored = len(writer.stored)
                    writer.stored.clear()
                    print(f"round {turn + 1}: {writer.name} {stored} acknowledged")
            lost |= gone
            for name in sorted(gone):
                print(f"LOST {name}")
    print(f"{len(lost)} lost in {arguments.rounds} rounds")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
