"""Chunks with what stands around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secondpass.server.cloudflare.found import Found
from secondpass.types import Document


def expanded(found: Sequence[Found], neighbours: int) -> list[str]:
    """Return the text of each chunk with so many neighbours on both sides.

    Neighbours are chunks of the same document; what two of them share stands there once.
    """
    known: dict[tuple[int, str], list[Document]] = {}
    texts = []
    for one in found:
        chunk = _number(one.document)
        if neighbours == 0 or chunk == 0:
            texts.append(one.document.text)
            continue
        owner = str(one.document.metadata["document_id"])
        instance = one.target.instance
        key = (id(instance), owner)
        if key not in known:
            with instance.present():
                hits = instance.index().store.passages(owner)
            known[key] = sorted((h.document for h in hits), key=_number)
        near = [d for d in known[key] if abs(_number(d) - chunk) <= neighbours]
        texts.append(joined(near) if near else one.document.text)
    return texts


def joined(chunks: Sequence[Document]) -> str:
    """Return chunks of one document, in order, as one text; gaps were white space."""
    text, end = "", 0
    for number, chunk in enumerate(chunks):
        start = int(chunk.metadata["start"])
        if number:
            text += " " * max(0, min(1, start - end))
        text += chunk.text[max(0, end - start) if number else 0 :]
        end = max(end, int(chunk.metadata["end"]))
    return text


def _number(document: Document) -> int:
    chunk: Any = document.metadata.get("chunk", 0)
    return chunk if isinstance(chunk, int) else 0
