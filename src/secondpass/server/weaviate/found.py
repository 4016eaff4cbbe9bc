"""What a query finds: objects with what is said of them besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secondpass.server.weaviate.objects import StoredObject


@dataclass(slots=True)
class Found:
    """An object that was found.

    - `distance`: 1 minus the cosine, from 0 to 2, of a search by vector.
    - `score`: of BM25 or of a fusion; `explained`: what it is made of.
    - `reranked`: scores of the second pass, by property and query as they were asked for.
    """

    object: StoredObject
    distance: float | None = None
    score: float | None = None
    explained: str | None = None
    reranked: dict[tuple[str | None, str | None], float] = field(default_factory=dict)

    @property
    def certainty(self) -> float | None:
        """The distance scaled to 1 for the same direction and 0 for the opposite one."""
        return None if self.distance is None else 1 - self.distance / 2

    @property
    def properties(self) -> Mapping[str, Any]:
        """The properties of the object."""
        return self.object.properties
