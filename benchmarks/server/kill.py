"""Durability: whether acknowledged documents survive `kill -9` of the server while storing.

    python benchmarks/server/kill.py [--rounds 10]

In each round several clients store documents by /api/v1 and by Weaviate's batches, and upload
files to Cloudflare AI Search. At a random moment the server gets SIGKILL and is started again
on the same folder: every acknowledged document must be there, and every uploaded file must
become indexed. Exit status 1 if one is lost.
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
from sample_questions import load_paragraphs
from server_process import Server, secondpass_command

CLIENTS = 2


class Writer:
    """A client that stores documents in one dialect and records the acknowledged ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stored: set[str] = set()

    def prepare(self, http: httpx2.Client) -> None:
        """Create the index if it does not exist."""
        raise NotImplementedError

    def write(self, http: httpx2.Client, number: int, texts: list[str]) -> None:
        """Store texts; the ids of acknowledged ones go into `stored`."""
        raise NotImplementedError

    def missing(self, http: httpx2.Client) -> set[str]:
        """Return the ids that were acknowledged and are missing."""
        raise NotImplementedError


class ApiV1(Writer):
    """/api/v1: a few documents a request."""

    def prepare(self, http: httpx2.Client) -> None:
        """Create the index."""
        http.post("/api/v1/indexes", json={"name": "docs", "chunk_tokens": None})

    def write(self, http: httpx2.Client, number: int, texts: list[str]) -> None:
        """Store all in one request."""
        names = [f"{self.name}-{number}-{i}" for i in range(len(texts))]
        documents = [{"id": i, "text": t} for i, t in zip(names, texts, strict=True)]
        response = http.post("/api/v1/indexes/docs/documents", json={"documents": documents})
        if response.status_code == 200:
            self.stored |= set(names)

    def missing(self, http: httpx2.Client) -> set[str]:
        """Return the missing ids; this deletes all documents."""
        return {name for name in self.stored if not _delete(http, name)}


def _delete(http: httpx2.Client, name: str) -> bool:
    """Delete a document and return whether it existed."""
    reply = http.delete("/api/v1/indexes/docs/documents", params={"id": name}).json()
    return bool(reply["deleted"])


class Weaviate(Writer):
    """Weaviate's batches: several objects a request, each acknowledged on its own."""

    def prepare(self, http: httpx2.Client) -> None:
        """Create the class."""
        definition = {
            "class": "Doc",
            "vectorizer": "text2vec-transformers",
            "properties": [{"name": "text", "dataType": ["text"]}],
        }
        http.post("/v1/schema", json=definition)

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
        response = http.post("/v1/batch/objects", json={"objects": objects})
        if response.status_code == 200:
            rows = [row for row in response.json() if row["result"]["status"] == "SUCCESS"]
            self.stored |= {row["id"] for row in rows}

    def missing(self, http: httpx2.Client) -> set[str]:
        """Return the missing ids."""
        statuses = {i: http.get(f"/v1/objects/Doc/{i}").status_code for i in self.stored}
        return {name for name, status in statuses.items() if status != 200}


class Cloudflare(Writer):
    """Uploads to Cloudflare AI Search: acknowledged at once, indexed later."""

    _BASE = "/client/v4/accounts/a/ai-search/namespaces/default/instances"

    def prepare(self, http: httpx2.Client) -> None:
        """Create the instance."""
        http.post(self._BASE, json={"id": "docs"})

    def write(self, http: httpx2.Client, number: int, texts: list[str]) -> None:
        """Upload one file without waiting until it is indexed."""
        name = f"{self.name}-{number}.md"
        files = {"file": (name, "\n\n".join(texts).encode(), "text/markdown")}
        response = http.post(f"{self._BASE}/docs/items", files=files)
        if response.status_code == 200:
            self.stored.add(response.json()["result"]["id"])

    def missing(self, http: httpx2.Client) -> set[str]:
        """Return the ids that are missing or not indexed within five minutes."""
        remaining, end = set(self.stored), time.monotonic() + 300
        while remaining and time.monotonic() < end:
            for name in sorted(remaining):
                response = http.get(f"{self._BASE}/docs/items/{name}")
                if (
                    response.status_code == 200
                    and response.json()["result"]["status"] == "completed"
                ):
                    remaining.discard(name)
                elif response.status_code == 404:
                    return remaining
            time.sleep(1)
        return remaining


WRITERS: dict[str, Callable[[str], Writer]] = {
    "native": ApiV1,
    "weaviate": Weaviate,
    "cloudflare": Cloudflare,
}


def load(url: str, writer: Writer, texts: list[str], turn: int, stop: threading.Event) -> None:
    """Store documents until the server exits."""
    rng = random.Random(f"{writer.name}{turn}")
    with httpx2.Client(base_url=url, timeout=60) as http:
        number = turn * 1_000_000
        while not stop.is_set():
            number += 1
            batch = rng.sample(texts, rng.randint(1, 8))
            try:
                writer.write(http, number, [f"{writer.name} {number} {text}" for text in batch])
            except httpx2.HTTPError:
                return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--dialects", nargs="+", choices=WRITERS, default=list(WRITERS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    texts = [row["text"] for row in load_paragraphs()]
    writers = [
        WRITERS[name](f"{name}-{i}") for name in arguments.dialects for i in range(CLIENTS)
    ]
    lost: set[str] = set()
    with TemporaryDirectory() as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        for turn in range(arguments.rounds):
            server = Server(
                secondpass_command("--data", str(data)), ready="/ready", log=log
            ).start()
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
            restarted = Server(secondpass_command("--data", str(data)), ready="/ready", log=log)
            with restarted, httpx2.Client(base_url=restarted.url, timeout=60) as http:
                missing: set[str] = set()
                for writer in writers:
                    missing |= writer.missing(http)
                    stored = len(writer.stored)
                    writer.stored.clear()
                    print(f"round {turn + 1}: {writer.name} {stored} acknowledged")
            lost |= missing
            for name in sorted(missing):
                print(f"LOST {name}")
    print(f"{len(lost)} lost in {arguments.rounds} rounds")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
