"""Databases by URL: which adapter opens which scheme."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol, cast

from secondpass.errors import InputError, nearest
from secondpass.retrieve.backends.database_url import DatabaseURL, parse_url, redact
from secondpass.retrieve.protocol import Retriever
from secondpass.retrieve.store_protocol import TextEncoder
from secondpass.storage import expand_home

GROUP = "secondpass.retrievers"
"""Entry points by scheme: a module (or object) that is an `Adapter`."""

_HERE = "secondpass.retrieve.backends"
BUILT_IN: Mapping[str, str] = {
    "chroma": f"{_HERE}.chroma",
    "duckdb": f"{_HERE}.duckdb",
    "elasticsearch": f"{_HERE}.elasticsearch",
    "lance": f"{_HERE}.lance_table",
    "milvus": f"{_HERE}.milvus",
    "opensearch": f"{_HERE}.opensearch",
    "postgres": f"{_HERE}.postgres",
    "postgresql": f"{_HERE}.postgres",
    "qdrant": f"{_HERE}.qdrant",
    "sqlite": f"{_HERE}.sqlite",
    "weaviate": f"{_HERE}.weaviate",
}


class Adapter(Protocol):
    """A module that opens databases of one engine.

    `PARAMETERS` are those of a URL that only this engine has. `open` gets `embedder` None for
    the bundled one, which is to be loaded only where there are vectors.
    """

    PARAMETERS: tuple[str, ...]

    def open(self, url: DatabaseURL, embedder: TextEncoder | None) -> Retriever:
        """Open a database; the retriever has a `close`."""


def schemes() -> list[str]:
    """Return the schemes of the built-in adapters and of installed packages."""
    return sorted({*BUILT_IN, *(e.name for e in entry_points(group=GROUP))})


def is_database_url(name: str) -> bool:
    """Return whether a name has the scheme of a database."""
    scheme, mark, _ = name.partition("://")
    return bool(mark) and scheme.lower() in schemes()


def open_retriever(url: str, *, embedder: TextEncoder | str | None = None) -> Retriever:
    """Open the database that a URL names, as a first stage.

    `embedder` encodes queries as the vectors there were made: a `TextEncoder`, the folder of an
    exported one, or None for the bundled one; one that the URL names counts instead. Where it
    does not fit, or there are no vectors,
    only keyword search is used, and `describe().note` says why. Nothing is ever written.

    Raises InputError for a URL that cannot be used, MissingExtraError without the engine's
    client, RetrieverError for a database that cannot be reached or read.
    """
    adapter = _load(url)
    parsed = parse_url(url, tuple(adapter.PARAMETERS))
    if parsed.embedder is not None:
        embedder = str(expand_home(parsed.embedder))
    if isinstance(embedder, str):
        from secondpass.retrieve.embedder import Embedder

        embedder = cast("TextEncoder", Embedder(embedder))
    return adapter.open(parsed, embedder)


def _load(url: str) -> Adapter:
    scheme, mark, _ = url.partition("://")
    scheme = scheme.lower()
    if not mark:
        raise InputError(
            "this is no URL of a database",
            where=redact(url),
            fix="Write scheme://…, such as sqlite:///file.db?table=docs. "
            f"Schemes: {', '.join(schemes())}",
        )
    if scheme in BUILT_IN:
        return cast("Adapter", import_module(BUILT_IN[scheme]))
    found = [e for e in entry_points(group=GROUP) if e.name == scheme]
    if not found:
        near = nearest(scheme, schemes())
        known = "" if near.startswith("Known") else f" Schemes: {', '.join(schemes())}"
        raise InputError(f"no database has the scheme {scheme!r}", fix=near + known)
    return cast("Adapter", found[0].load())
