"""A chunk on its way through a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from secondpass.server.cloudflare.item import Item
from secondpass.server.cloudflare.schemas import FusionName
from secondpass.server.cloudflare.search_plan import Target
from secondpass.types import Document


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk with what it was found by; `score` is from 0 to 1.

    `vector` is a similarity from 0 to 1, `keyword` a BM25 sum; ranks count from 1. What one
    half did not find has no rank of it.
    """

    target: Target
    document: Document
    item: Item
    vector: float | None = None
    keyword: float | None = None
    vector_rank: int | None = None
    keyword_rank: int | None = None
    score: float = 0.0
    fusion: FusionName | None = None
    reranked: float | None = None

    @property
    def id(self) -> str:
        """The chunk's id, which no chunk of another instance has."""
        return str(self.document.id)

    def shown(self, *, text: str | None = None, with_instance: bool = False) -> dict[str, Any]:
        """Return the chunk as clients see it, with another text if one is given."""
        details = {
            "vector_score": self.vector,
            "keyword_score": self.keyword,
            "vector_rank": self.vector_rank,
            "keyword_rank": self.keyword_rank,
            "fusion_method": self.fusion,
            "reranking_score": self.reranked,
        }
        found: dict[str, Any] = {
            "id": self.id,
            "type": "text",
            "score": self.score,
            "text": self.document.text if text is None else text,
            "item": {
                "key": self.item.key,
                "timestamp": self.item.modified_at,
                "metadata": self.item.shown_metadata(),
            },
            "scoring_details": {k: v for k, v in details.items() if v is not None},
        }
        if with_instance:
            found["instance_id"] = self.target.instance.name
        return found
