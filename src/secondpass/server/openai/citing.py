"""Sources of an answer as clients see them: chunks, and citations of web addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.answer import Citation, Passage
from secondpass.server.rerank_dialects.schemas import share
from secondpass.server.sources import as_json, source_url
from secondpass.types import RankedDocument

Found = Mapping[str, RankedDocument]
"""What a search found, by id."""


def chunk(passage: Passage, found: Found) -> dict[str, Any]:
    """Return a passage; `number` is the one in the answer's brackets."""
    result = _result(passage, found)
    document = None if result is None else result.document
    metadata = {} if document is None else document.metadata
    score = passage.probability
    if score is None:
        score = 0.0 if result is None else share(result)
    return {
        "id": passage.ids[0] if passage.ids else None,
        "type": "text",
        "number": passage.number,
        "score": min(1.0, max(0.0, score)),
        "title": passage.title,
        "text": passage.text,
        "url": source_url(metadata),
        "item": {"key": metadata.get("document_id") or "".join(passage.ids[:1])},
        "metadata": as_json(metadata),
    }


def cited(text: str, citations: Sequence[Citation], found: Found) -> list[dict[str, Any]]:
    """Return the citations whose documents have a web address, placed in the text."""
    rows = []
    for citation in citations:
        result = _result(citation.passage, found)
        document = None if result is None else result.document
        url = None if document is None else source_url(document.metadata)
        end = text.find("]", citation.start) + 1
        if url is None or end == 0:
            continue
        title = citation.passage.title
        place = {
            "url": url,
            "title": url if title is None else title,
            "start_index": citation.start,
            "end_index": end,
        }
        rows.append({"type": "url_citation", "url_citation": place})
    return rows


def _result(passage: Passage, found: Found) -> RankedDocument | None:
    """Return the best of the results that a passage was merged from."""
    there = [found[name] for name in passage.ids if name in found]
    return min(there, key=lambda result: result.rank, default=None)
