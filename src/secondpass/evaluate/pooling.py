"""Pooling: the best passages of several systems, shuffled for unbiased judgments."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.errors import InputError, nearest
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.index.search import Search

SYSTEMS = ("bm25", "vector", "hybrid", "reranked")


def check_systems(systems: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct systems; raises `InputError` for an unknown one, or none."""
    for name in systems:
        if name not in SYSTEMS:
            raise InputError(f"There is no system {name!r}", fix=nearest(name, SYSTEMS))
    if not systems:
        raise InputError("There are no systems to pool", fix=nearest("", SYSTEMS))
    return tuple(dict.fromkeys(systems))


def available_systems(index: Search, systems: Sequence[str]) -> tuple[str, ...]:
    """Return those of the systems that this source can be searched by."""
    modes = index.retriever.modes or ("hybrid",)
    return tuple(name for name in systems if name == "reranked" or name in modes)


def pool(
    index: Search,
    name: str,
    query: str,
    *,
    systems: Sequence[str] = SYSTEMS,
    depth: int = 10,
    candidates: int = 50,
    model: str | Path = "bundled",
    seed: int = 0,
) -> list[Document]:
    """Return the best `depth` passages of each system, each once, shuffled.

    The order depends on `seed` and the query's id `name` alone, not on ranks, so that it
    is the same in the next session.
    """
    passages: dict[str, Document] = {}
    for system in check_systems(systems):
        reranked = system == "reranked"
        response = index.search(
            query,
            mode="hybrid" if reranked else system,
            candidates=max(candidates, depth) if reranked else depth,
            top_k=depth,
            rerank=model if reranked else False,
        )
        for result in response.results:
            if result.document is not None:
                passages[result.document.key] = result.document
    shuffled = [passages[key] for key in sorted(passages)]
    random.Random(f"{seed}:{name}").shuffle(shuffled)
    return shuffled
