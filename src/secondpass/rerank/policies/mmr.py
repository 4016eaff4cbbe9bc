"""Results that differ from each other: maximal marginal relevance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from secondpass.errors import InputError
from secondpass.inference.model_folder import open_folder
from secondpass.inference.token_encoder import TokenEncoder, open_encoder
from secondpass.inference.types import Float32
from secondpass.models import bundled_path
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.policies.ensemble import min_max
from secondpass.rerank.policies.score_transform import ScoreTransform
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind


class MMR(ScoreTransform):
    """Chooses one document after the other, by relevance and by how new its meaning is.

    The next is that with the highest (1 - diversity) * relevance - diversity * likeness.
    Relevance is the reranker's score scaled to 0 to 1 over the candidates, likeness the
    highest cosine, of the bundled embeddings, with those chosen before. `diversity` is from
    0 (the reranker's order) to 1; the first is always the most relevant. Only the best
    `depth` are chosen so; the others follow as they were. Scores are places
    (`ScoreKind.RANK`), and copies of a text stand apart. Source: Carbonell and Goldstein,
    SIGIR 1998. Raises `InputError` for a diversity out of range and a depth below 1.
    """

    def __init__(
        self, reranker: BaseReranker, *, diversity: float = 0.3, depth: int = 50
    ) -> None:
        super().__init__(reranker)
        if isinstance(diversity, bool) or not 0 <= diversity <= 1 or math.isnan(diversity):
            raise InputError(f"diversity must be from 0 to 1, not {diversity!r}")
        if isinstance(depth, bool) or depth < 1:
            raise InputError(f"depth must be at least 1, not {depth!r}")
        self.diversity, self.depth = float(diversity), depth
        self._encoder: TokenEncoder | None = None

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then choose one after the other."""
        scored = self.reranker.score(query, candidates, reading)
        ranks = [i + 1 if c.rank is None else c.rank for i, c in enumerate(candidates)]
        order = sorted(
            range(len(candidates)),
            key=lambda i: (
                -scored.scores[i].value,
                ranks[i],
                candidates[i].document.id or "",
                i,
            ),
        )
        top = [i for i in order if scored.scores[i].scored][: self.depth]
        texts = reading.texts([candidates[i] for i in top])
        vectors = self._vectors([f"{head} {body}".strip() for head, body in texts])
        values = np.array([scored.scores[i].value for i in top], dtype=np.float64)
        chosen = [top[place] for place in choose(min_max(values), vectors, self.diversity)]
        places = {
            i: place for place, i in enumerate(chosen + [i for i in order if i not in set(top)])
        }
        scores = [
            replace(s, value=float(len(order) - places[i])) for i, s in enumerate(scored.scores)
        ]
        lowest = min((s.value for s in scores if s.scored), default=0.0)
        scores = [s if s.scored else replace(s, value=lowest) for s in scores]
        return replace(scored, scores=scores, kind=ScoreKind.RANK)

    def _changed(self, candidates: Sequence[Candidate], scored: Scored) -> Scored:
        return scored

    def _vectors(self, texts: Sequence[str]) -> Float32:
        if self._encoder is None:
            self._encoder = open_encoder(open_folder(bundled_path("bundled-embedder")))
        encoder = self._encoder
        room = encoder.max_length - encoder.tokenizer.special
        tokens = encoder.tokenizer.encode(texts, limit=room)
        return encoder.embed([encoder.tokenizer.single(t.ids[:room]) for t in tokens])


def choose(
    relevance: np.ndarray[tuple[int], np.dtype[np.float64]], vectors: Float32, diversity: float
) -> list[int]:
    """Return all positions in the order of choice; ties go to the earlier position."""
    # Rounded, so that the order of a sum inside of a matrix product decides no tie.
    likeness = np.round((vectors @ vectors.T).astype(np.float64), 6)
    left = list(range(len(relevance)))
    nearest = np.zeros(len(relevance))
    chosen: list[int] = []
    while left:
        worth = (1 - diversity) * relevance[left]
        if chosen:
            worth = worth - diversity * nearest[left]
        best = left[int(np.argmax(worth))]
        left.remove(best)
        nearest = likeness[best] if not chosen else np.maximum(nearest, likeness[best])
        chosen.append(best)
    return chosen
