"""Scoring options: which fields of a document the model reads, and how much of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from secondpass.errors import InputError, nearest
from secondpass.options import BUDGET_TOKENS
from secondpass.rerank.windowing import PassageAggregation
from secondpass.types import Candidate, Document

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class ScoringOptions:
    """What a model reads of a document, and what policies know of a call.

    - `fields`: the fields to read, joined by a space; None for title and text. The last one is
      the body, which is split into windows if it is long; those before it are the head, which
      is repeated in every window.
    - `template`: the fields in a layout instead, as in `"{title} ({year}): {text}"`.
    - `max_length`: tokens of one window, with query and special tokens; None for the model's
      default.
    - `passages`: how the windows of a long document are combined.
    - `max_tokens_per_doc`: tokens of a document, from its beginning, that are read at most;
      None for no cap. `token_share`: how many of those a model in this process reads, in the
      windows that promise most; `BaseReranker.rerank` computes it from `budget_tokens`.
    - `max_query_tokens`: tokens of the query that are read at most; None for the model's
      default.
    - `instructions`: what a model that follows instructions should prefer; None for nothing.
    - `top_k`: how many results the caller asked for, None for all; `early_exit_at`: among how
      many first ones a candidate must have a chance to be, for it to be scored, None for any;
      `started`: when the call began, on the clock of `time.perf_counter`, None for now. Scores
      do not depend on these three.

    Raises `InputError` for a template without a field or with one that is not in `fields`, and
    for numbers below 1.
    """

    fields: tuple[str, ...] | None = None
    template: str | None = None
    max_length: int | None = None
    passages: PassageAggregation = field(default_factory=PassageAggregation)
    max_tokens_per_doc: int | None = None
    max_query_tokens: int | None = None
    token_share: int = BUDGET_TOKENS
    instructions: str | None = None
    top_k: int | None = None
    early_exit_at: int | None = None
    started: float | None = None

    def __post_init__(self) -> None:
        if self.template is not None:
            names = _PLACEHOLDER.findall(self.template)
            if not names:
                raise InputError(
                    f"The template {self.template!r} has no field",
                    fix='Name at least one in braces, such as "{title}: {text}".',
                )
            unknown = [n for n in names if self.fields is not None and n not in self.fields]
            if unknown:
                raise InputError(
                    f"The template has {unknown[0]!r}, which is not among the fields",
                    fix=nearest(unknown[0], self.fields or ()),
                )
        for name in ("max_length", "max_tokens_per_doc", "max_query_tokens", "token_share"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise InputError(f"{name} must be a whole number above 0: {value!r}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields that are read, in order."""
        if self.template is not None:
            return tuple(_PLACEHOLDER.findall(self.template))
        return ("title", "text") if self.fields is None else self.fields

    @property
    def separator(self) -> str:
        """What stands between the head and the body of a document; a template has its own."""
        return " " if self.template is None else ""

    @property
    def tokens_in_reach(self) -> int:
        """How many tokens of a document, from its beginning, windows are chosen from."""
        reach = max(BUDGET_TOKENS, self.token_share)
        return reach if self.max_tokens_per_doc is None else min(reach, self.max_tokens_per_doc)

    def texts(self, candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
        """Return (head, body) of each document, without the fields that it does not have."""
        return [self._text(c.document) for c in candidates]

    def check(self, documents: Sequence[Document]) -> None:
        """Raise `InputError` for a field that none of the documents has.

        Called once, for all documents of a query: a policy may score them in parts, and a part
        may lack a field that others have.
        """
        if self.fields is None and self.template is None:
            return
        for name in self.names:
            if documents and all(field_text(d, name) is None for d in documents):
                available = {"text", "title"} | {k for d in documents for k in d.metadata}
                raise InputError(
                    f"No document has the field {name!r}", fix=nearest(name, available)
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
    """Return a field as the text that a model reads, or None if the document has none.

    Lists are joined by ", "; mappings are written as JSON.
    """
    if name == "text":
        return document.text
    if name == "title" and document.title is not None:
        return document.title
    if name == "id" and document.id is not None:
        return document.id
    return _to_text(document.metadata.get(name))


def _to_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        parts = [_to_text(v) for v in value]
        return ", ".join(p for p in parts if p is not None)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
