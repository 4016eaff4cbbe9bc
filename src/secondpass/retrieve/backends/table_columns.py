"""Columns of a table of others: which is the text, the id, …; rows as documents and hits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from secondpass.errors import InputError, nearest
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.database_url import DatabaseURL
from secondpass.retrieve.store_protocol import Hit, Hits
from secondpass.types import Document, Origin, is_missing

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

FILTERED_KINDS = frozenset(
    ("text", "integer", "number", "boolean", "date", "datetime", "uuid", "any")
)
"""The kinds of columns that a filter can name; "any" is one that is not known."""
_TEXTS = (
    *("text", "body", "content", "contents", "passage", "chunk", "chunk_text", "page_content"),
    *("document", "description", "abstract"),
)
_IDS = ("id", "_id", "doc_id", "docid", "uuid", "key")
_VECTORS = ("embedding", "vector", "embeddings", "emb", "text_vector")


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns of a table by role, as a URL names them or as they are guessed.

    - `id`, `text`: names; `title`, `vector`, `parent`, `chunk`: names, or None.
    - `fields`: the columns that documents carry, with the kind of each; a filter can name those
      of FILTERED_KINDS, and the id.
    - `format`: what the text column holds; see `DatabaseURL`.
    """

    id: str
    text: str
    title: str | None = None
    vector: str | None = None
    parent: str | None = None
    chunk: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    format: str = "text"

    @property
    def filtered(self) -> dict[str, str]:
        """What a filter can name, with the kind of each."""
        named = {**self.fields, self.id: self.kinds.get(self.id, "text")}
        if self.parent is not None:
            named[self.parent] = self.kinds.get(self.parent, "text")
        return {name: kind for name, kind in named.items() if kind in FILTERED_KINDS}

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that a query reads, without the vector, each once."""
        roles = (self.id, self.text, self.title, self.parent, self.chunk)
        return tuple(dict.fromkeys([*(r for r in roles if r is not None), *self.fields]))

    def document(self, row: Mapping[str, Any]) -> Document:
        """Return a row as a document: ids as text, NULL as the empty text."""
        text = _plain_text(row[self.text], self.format)
        title = None if self.title is None or row[self.title] is None else str(row[self.title])
        metadata = {name: plain_value(row[name], kind) for name, kind in self.fields.items()}
        origin = None
        if self.parent is not None and not is_missing(row[self.parent]):
            number = 0 if self.chunk is None else row[self.chunk]
            chunk = number if isinstance(number, int) and number > 0 else 0
            origin = Origin(id_text(row[self.parent]), chunk, 0, len(text))
        return Document(
            text,
            id=id_text(row[self.id]),
            title=None if title is None or not title.strip() else clean(title),
            metadata={name: v for name, v in metadata.items() if v is not None},
            origin=origin,
        )

    def hits(
        self,
        rows: Iterable[tuple[Mapping[str, Any], float]],
        vectors: Sequence[Embedding | None] | None = None,
    ) -> Hits:
        """Return rows with their scores as hits, best first and then by id, each id once.

        Rows that cannot be hits are counted in `left_out`.
        """
        found: dict[str, Hit] = {}
        without = unscored = repeated = 0
        for position, (row, score) in enumerate(rows):
            if row[self.id] is None:
                without += 1
                continue
            if not math.isfinite(score):
                unscored += 1
                continue
            vector = None if vectors is None else vectors[position]
            hit = Hit(score, self.document(row), vector)
            known = found.get(hit.key)
            repeated += known is not None
            if known is None or known.score < hit.score:
                found[hit.key] = hit
        return Hits(
            sorted(found.values(), key=lambda hit: (-hit.score, hit.key)),
            {
                f"without a value in {self.id!r}, the id": without,
                f"whose {self.id!r}, the id, is that of another row": repeated,
                "whose score is not a number": unscored,
            },
        )


def choose_columns(
    url: DatabaseURL,
    kinds: Mapping[str, str],
    *,
    table: str,
    key: str | None = None,
    vectors: Sequence[str] | None = None,
) -> TableColumns:
    """Return the roles of a table's columns: those of the URL, else by their usual names.

    `kinds` are all columns in order, `key` is the primary key, `vectors` the columns that can
    hold vectors, by default those of that kind. Raises InputError, listing the columns, for
    one that is not there, and where no text or id is found.
    """
    named = {"id": url.id, "text": url.text, "title": url.title, "vector": url.vector}
    named |= {"parent": url.parent, "chunk": url.chunk}
    for role, name in [*named.items(), *(("fields", f) for f in url.fields or ())]:
        if name is not None and name not in kinds:
            raise InputError(
                f"the table {table!r} has no column {name!r}",
                where=url.redacted,
                why=f"the URL says {role}={name}",
                fix=f"{nearest(name, kinds)} {_columns(kinds)}",
            )
    key_name = url.id or key or _first(_IDS, kinds)
    if key_name is None:
        raise InputError(
            f"the table {table!r} has no primary key",
            where=url.redacted,
            fix=f"Name a column that identifies rows, such as id=NAME. {_columns(kinds)}",
        )
    used = {key_name, *(n for n in named.values() if n is not None)}
    texts = [n for n, kind in kinds.items() if kind == "text" and n not in used | {"title"}]
    text = url.text or _first(_TEXTS, [n for n in kinds if n not in used])
    text = text or (texts[0] if len(texts) == 1 else None)
    if text is None:
        example = texts[0] if texts else "NAME"
        raise InputError(
            f"which column of {table!r} has the text is not clear",
            where=url.redacted,
            fix=f"Name it, such as text={example}. {_columns(kinds)}",
        )
    title = url.title or _first(("title",), [n for n in kinds if n not in {text, key_name}])
    if vectors is None:
        vectors = [name for name, kind in kinds.items() if kind == "vector"]
    vector = url.vector or _first(_VECTORS, vectors) or (vectors[0] if vectors else None)
    roles = {key_name, text, title, vector, url.parent, url.chunk}
    skipped = roles | {n for n, kind in kinds.items() if kind in ("bytes", "words", "vector")}
    fields = {n: kind for n, kind in kinds.items() if n not in skipped}
    if url.fields is not None:
        fields = {name: kinds[name] for name in url.fields}
    return TableColumns(
        key_name,
        text,
        title=title,
        vector=vector,
        parent=url.parent,
        chunk=url.chunk,
        fields=fields,
        kinds=dict(kinds),
        format=url.format,
    )


def choose_table(url: DatabaseURL, tables: Sequence[str]) -> str:
    """Return the table of the URL, or the only one; raises InputError, listing them, else."""
    if url.table is None:
        if len(tables) == 1:
            return tables[0]
        raise InputError(
            "which table to search is not clear" if tables else "the database has no table",
            where=url.redacted,
            fix=f"Name it with table=NAME. Tables: {', '.join(sorted(tables))}"
            if tables
            else None,
        )
    if url.table not in tables:
        raise InputError(
            f"the database has no table {url.table!r}",
            where=url.redacted,
            fix=nearest(url.table, tables) or "It has no tables at all.",
        )
    return url.table


def id_text(value: object) -> str:
    """Return an id as text: integers, UUIDs and whatever else identifies rows."""
    if isinstance(value, bytes):
        return value.hex()
    return clean(str(value))


def plain_value(value: object, kind: str = "") -> object:
    """Return a value of a column as metadata has it; None for what metadata cannot hold."""
    if kind == "boolean" and isinstance(value, int):
        return bool(value)
    if kind == "json" and isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    if kind in ("date", "datetime") and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment.date() if kind == "date" else moment
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool | int | float | date | dict | list):
        return value
    return None if value is None or isinstance(value, bytes | memoryview) else str(value)


def _plain_text(value: object, form: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, dict | list) or form == "json":
        try:
            value = _json_text(value)
        except RecursionError:
            # Nested deeper than anyone reads: as it is.
            value = str(value)
    text = clean(str(value))
    if form == "html":
        from secondpass.retrieve.loaders.html import html_text

        return html_text(text)
    return text


def _json_text(value: object) -> str:
    """Return JSON as lines of `name: value`; what cannot be parsed stays as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)
    if isinstance(value, list):
        return "\n".join(_json_text(item) for item in value)
    if isinstance(value, dict):
        return "\n".join(
            f"{name}: {_json_text(item)}" for name, item in value.items() if item is not None
        )
    return str(value)


def _first(names: Sequence[str], among: Iterable[str]) -> str | None:
    lowered: dict[str, str] = {}
    for name in among:
        lowered.setdefault(name.lower(), name)
    return next((lowered[name] for name in names if name in lowered), None)


def _columns(kinds: Mapping[str, str]) -> str:
    listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    return f"Columns: {listed}."
