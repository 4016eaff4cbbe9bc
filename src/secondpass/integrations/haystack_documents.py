"""Haystack's documents as candidates, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from haystack import Document

from secondpass.errors import InputError
from secondpass.integrations.outcome import with_outcome
from secondpass.types import Candidate, RerankResponse
from secondpass.types import Document as Text


def unique(documents: Sequence[Document]) -> list[Document]:
    """Return the documents without those whose id came before."""
    first: dict[str, Document] = {}
    for document in documents:
        first.setdefault(document.id, document)
    return list(first.values())


def to_candidate(document: Document) -> Candidate:
    """Return the document with its score; raises `InputError` for one that has no text."""
    if document.content is None:
        raise InputError(f"Document {document.id!r} has no text", why="its content is None")
    text = Text(document.content, document.id, metadata=document.meta)
    return Candidate(text, document.score)


def to_ranked(documents: Sequence[Document], response: RerankResponse) -> list[Document]:
    """Return copies of the documents in their new order, with what happened in `meta`."""
    return [
        dataclasses.replace(
            (given := documents[result.index]),
            score=result.score if result.scored else given.score,
            meta=with_outcome(given.meta, response, result),
        )
        for result in response.results
    ]
