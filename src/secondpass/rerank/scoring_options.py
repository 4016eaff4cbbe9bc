"""How candidates are read: which fields, in which layout, how long, and to what end."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from secondpass.errors import InputError, nearest
from secondpass.rerank.windowing import PassageAggregation
from secondpass.types import Candidate, Document

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """How documents become text.

    `fields` are read in order, joined by a space; `template` lays them out instead, as in
    `"{title} ({year}): {text}"`. The last field is the body, which is cut into windows if
    it is long; what stands before it is the head, repeated on every window. `max_length`
    is the length of a window in tokens with query and special tokens; None is the
    model's own.

    Policies also want to know how many results the caller asked for (`top_k`, None for
    all) and when (`started`, of `time.perf_counter`, None for now). No score depends on
    them.
    """

    fields: tuple[str, ...] | None = None
    template: str | None = None
    max_length: int | None = None
    passages: PassageAggregation = field(default_factory=PassageAggregation)
    top_k: int | None = None
    started: float | None = None

    def __post_init__(self) -> None:
        if self.template is not None:
            names = _PLACEHOLDER.findall(self.template)
            if not names:
                raise InputError(
                    f"The template {self.template!r} reads no field",
                    fix='Name at least one in braces, such as "{title}: {text}".',
                )
            strange = [n for n in names if self.fields is not None and n not in self.fields]
            if strange:
                raise InputError(
                    f"The template reads {strange[0]!r}, which is not among the fields",
                    fix=nearest(strange[0], self.fields or ()),
                )
        if self.max_length is not None and (
            isinstance(self.max_length, bool)
            or not isinstance(self.max_length, int)
            or self.max_length < 1
        ):
            raise InputError(f"max_length must be a whole number above 0: {self.max_length!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that are read, in order."""
        if self.template is not None:
            return tuple(_PLACEHOLDER.findall(self.template))
        return ("title", "text") if self.fields is None else self.fields

    def texts(self, candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
        """Return (head, body) of each document; a field that one lacks is left out there."""
        return [self._text(c.document) for c in candidates]

    def check(self, documents: Sequence[Document]) -> None:
        """Raise `InputError` for a field to read that every one of the documents lacks.

        Of all documents of a query, once: a policy may score them in parts, and a part may
        lack a field that others have.
        """
        if self.fields is None and self.template is None:
            return
        for name in self.names:
            if documents and all(field_text(d, name) is None for d in documents):
                known = {"text", "title"} | {k for d in documents for k in d.metadata}
                raise InputError(
                    f"No document has the field {name!r}", fix=nearest(name, known)
                )

    def _text(self, document: Document) -> tuple[str, str]:
        *heads, last = self.names
        if self.template is None:
            values = [v for n in heads if (v := field_text(document, n))]
            return " ".join(values), field_text(document, last) or ""
        *matches, final = _PLACEHOLDER.finditer(self.template)
        head, position = "", 0
        for match in matches:
            value = field_text(document, match[1]) or ""
            head += self.template[position : match.start()] + value
            position = match.end()
        head += self.template[position : final.start()]
        body = (field_text(document, final[1]) or "") + self.template[final.end() :]
        return head, body


def field_text(document: Document, name: str) -> str | None:
    """Return a field as the text that a model reads, or None if the document lacks it.

    Lists of scalars are joined by ", ", other structures are written as JSON.
    """
    if name == "text":
        return document.text
    if name == "title" and document.title is not None:
        return document.title
    if name == "id" and document.id is not None:
        return document.id
    return _text(document.metadata.get(name))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_text(v) for v in value]
        return ", ".join(p for p in parts if p is not None)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
