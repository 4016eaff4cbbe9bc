"""The databases that adapters are tested with, each filled with the same rows."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from secondpass.retrieve.store_protocol import searchable
from tests.retrieve.hashed_embedder import HashedEmbedder

EMBEDDER = HashedEmbedder()


@dataclass(frozen=True)
class Row:
    """A row of the table `docs`; its vector is that of its title and text."""

    id: Any
    text: str | None
    title: str | None = None
    year: int | None = None
    price: float | None = None
    lang: str | None = None
    fresh: bool | None = None
    day: date | None = None
    parent: str | None = None

    @property
    def vector(self) -> np.ndarray:
        return EMBEDDER.encode([searchable(self.title, self.text or "")])[0]


FIELDS = ("year", "price", "lang", "fresh", "day")


class Database(Protocol):
    """A database with one table, or collection, `docs`.

    - `lacks`: what the engine cannot do, of "like", "day", "vectors", "keywords", "changes"
      (a write while a retriever is open), "drops" (its connections can be cut).
    - `password`: one that must never be printed, where there is one.
    """

    lacks: frozenset[str]
    password: str | None

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        """Make the table anew, with ids of a kind: "text", "integer" or "uuid"."""

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        """Add rows and delete others, while the table is being searched."""

    def url(self, **parameters: str) -> str:
        """Return the URL of the table."""

    def drop(self) -> None:
        """Cut all connections there are now."""


class SQLiteDatabase:
    lacks = frozenset({"ilike"})
    password = None

    def __init__(self, folder: Path) -> None:
        self.file = folder / "it's a file.db"

    def fill(self, rows: Sequence[Row], *, kind: str = "text") -> None:
        key = "INTEGER" if kind == "integer" else "TEXT"
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executescript(
                "DROP TABLE IF EXISTS docs_fts; DROP TABLE IF EXISTS docs;"
                f"CREATE TABLE docs (id {key} PRIMARY KEY, title TEXT, body TEXT, "
                "year INTEGER, price REAL, lang TEXT, fresh BOOLEAN, day DATE, doc TEXT, "
                "embedding BLOB);"
                "CREATE VIRTUAL TABLE docs_fts USING fts5(title, body, content='docs');"
            )
        self.write(rows)

    def write(self, rows: Sequence[Row], *, delete: Iterable[object] = ()) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            for key in delete:
                connection.execute("DELETE FROM docs WHERE id = ?", [key])
            connection.executemany(
                "INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(r.id, r.title, r.text, r.year, r.price, r.lang, r.fresh),
                        *(r.day and r.day.isoformat(), r.parent, r.vector.tobytes()),
                    )
                    for r in rows
                ],
            )
            connection.execute("INSERT INTO docs_fts (docs_fts) VALUES ('rebuild')")

    def url(self, **parameters: str) -> str:
        from secondpass.retrieve.backends.database_url import file_url

        return file_url("sqlite", self.file, table="docs", **parameters)

    def drop(self) -> None:
        # A file that was written anew and put in the place of the old one.
        copy = self.file.with_suffix(".copy")
        copy.write_bytes(self.file.read_bytes())
        copy.replace(self.file)


@contextmanager
def sqlite(folder: Path) -> Iterator[Database]:
    yield SQLiteDatabase(folder)


Open = Callable[[Path], AbstractContextManager[Database]]
DATABASES: dict[str, Open] = {"sqlite": sqlite}
"""By scheme. One that cannot run here calls `pytest.skip` with the reason."""


LANGS = ("en", "de", "O'Hara", "50%", "a_b", "Ärger", "back\\slash")


def generated_rows(count: int, seed: int = 7) -> list[Row]:
    """Return rows with the word "common", and with values missing here and there."""
    chance = random.Random(seed)

    def maybe(value: Any) -> Any:
        return value if chance.random() < 0.8 else None

    words = ("apple", "river", "stone", "cloud", "engine", "paper", "quiet", "seven")
    return [
        Row(
            f"row-{number}",
            " ".join(["common", *chance.choices(words, k=6)]),
            title=maybe(chance.choice(words).title()),
            year=maybe(chance.randrange(1990, 2030)),
            price=maybe(chance.choice((0.0, 0.5, -1.25, 3.75, 1e6))),
            lang=maybe(
                chance.choice(("en", "de", "O'Hara", "50%", "a_b", "Ärger", "back\\slash"))
            ),
            fresh=maybe(chance.random() < 0.5),
            day=maybe(date(2020, 1, 1) + timedelta(days=chance.randrange(1000))),
        )
        for number in range(count)
    ]
