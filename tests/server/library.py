"""A server with an index to ask, a second tenant, and keys for both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass import Document, Index
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.index_catalog import IndexKey
from secondpass.server.settings import ServerSettings
from tests.server.conftest import Running, running

QUESTION = "What is the capital of France?"
ADDRESS = "https://example.org/paris"
SECRET = "The secret capital of France is Oz."
DOCUMENTS = [
    Document(
        "Paris is the capital of France. It has about two million inhabitants.",
        id="paris",
        title="Paris",
        metadata={"url": ADDRESS, "lang": "en", "year": 2020, "category": "cities"},
    ),
    Document(
        "Lyon lies on the Rhône. It is known for its food.",
        id="lyon",
        metadata={"lang": "en", "year": 2010},
    ),
    Document("Boil the rice for ten minutes. Then let it stand.", id="rice"),
]


@dataclass
class Library:
    """The server, and the keys by what they may do; "other" is another tenant's."""

    running: Running
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return self.running.url


@contextmanager
def library(folder: Path, **settings: Any) -> Iterator[Library]:
    """Serve the documents as the index "docs"; the other tenant has one named "secret"."""
    with Index.open(folder / "docs") as index:
        index.add(DOCUMENTS)
    file = KeyFile(folder / "keys.json")
    keys = {
        "all": file.create("all", ["admin"]),
        "rerank": file.create("rerank", ["rerank"]),
        "search": file.create("search", ["search"]),
        "seldom": file.create("seldom", ["search", "rerank"], per_minute=1),
        "few": file.create("few", ["search", "rerank"], max_documents=2, max_body=2000),
        "other": file.create("other", ["admin"], tenant="other"),
    }
    chosen: dict[str, Any] = {
        "indexes": {"docs": folder / "docs"},
        "data": folder / "data",
        "keys": folder / "keys.json",
        **settings,
    }
    with running(ServerSettings(**chosen)) as found:
        theirs = found.state.catalog.create(IndexKey("other", "default", "secret"))
        theirs.add([Document(SECRET, id="oz", metadata={"url": "https://example.org/oz"})])
        yield Library(found, keys)
