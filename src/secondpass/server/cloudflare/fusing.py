"""One order of what was found by meaning and by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from secondpass.retrieve.fusion import rrf
from secondpass.server.cloudflare.found import Found
from secondpass.server.cloudflare.retrieval import CANDIDATES
from secondpass.server.cloudflare.schemas import FusionName

_RRF_K = 60


def fused(found: Sequence[Found], method: FusionName) -> list[Found]:
    """Return the best 50, best first, with scores from 0 to 1.

    - "rrf": reciprocal ranks, 1 for the first of both halves.
    - "max": the higher of both scores, each as a share of the best of its half.

    What was searched in one way only has the similarity, or the share of the best BM25.
    Ranks are over all that is given, which may be of several instances.
    """
    near = [f for f in found if f.vector_rank is not None]
    worded = [f for f in found if f.keyword_rank is not None]
    hybrid = any(f.target.kind == "hybrid" for f in found)
    if not hybrid and not (near and worded):
        scores = {f.id: f.vector or 0.0 for f in near} | _shares(worded, _keyword)
        ranked = [replace(f, score=scores[f.id]) for f in found]
    else:
        lists = (_pairs(near, _vector), _pairs(worded, _keyword))
        if method == "rrf":
            best = len(lists) / (_RRF_K + 1)
            scores = {name: score / best for name, score in rrf(lists, k=_RRF_K)}
        else:
            scores = _highest(_shares(near, _vector), _shares(worded, _keyword))
        ranked = [replace(f, score=min(1.0, scores[f.id]), fusion=method) for f in found]
    return sorted(ranked, key=lambda f: (-f.score, f.id))[:CANDIDATES]


def _vector(found: Found) -> float:
    return found.vector or 0.0


def _keyword(found: Found) -> float:
    return found.keyword or 0.0


def _pairs(found: Sequence[Found], score: Callable[[Found], float]) -> list[tuple[str, float]]:
    return [(f.id, score(f)) for f in found]


def _shares(found: Sequence[Found], score: Callable[[Found], float]) -> dict[str, float]:
    best = max(map(score, found), default=0.0)
    return {f.id: score(f) / best if best > 0 else 0.0 for f in found}


def _highest(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {name: max(one.get(name, 0.0), other.get(name, 0.0)) for name in {**one, **other}}
