"""Maximal marginal relevance (MMR): diverse results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from secondpass.errors import InputError
from secondpass.inference.model_folder import open_folder
from secondpass.inference.token_encoder import TokenEncoder, open_encoder
from secondpass.inference.types import Float32
from secondpass.models import bundled_path
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.ensemble import min_max
from secondpass.rerank.policies.wrapper import RerankerWrapper
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind


class MMR(RerankerWrapper):
    """Selects one document after the other, by relevance and by difference from those before.

    - `diversity`: from 0 (the reranker's order) to 1; the first result is always the most
      relevant document.
    - `depth`: how many of the best candidates are reordered, at least 1; the others follow in
      their order.

    Each step selects the document with the highest (1 - diversity) * relevance - diversity *
    similarity. Relevance is the reranker's score scaled to 0 to 1 over the candidates;
    similarity is the highest cosine to a document selected before, of the bundled embeddings.
    The first result has the highest of the reranker's scores, the second the second highest,
    and so on, lowered a little where two are equal; so scores order one response only
    (`ScoreKind.RANK`), and the part "diversity" is what a document gained or lost.
    Source: Carbonell and Goldstein, SIGIR 1998. Raises `InputError` for numbers outside these
    ranges.
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

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then select one document after the other."""
        scored = self.reranker.score(query, candidates, options)
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
        if not top:
            return scored
        texts = options.texts([candidates[i] for i in top])
        vectors = self._vectors([f"{head} {body}".strip() for head, body in texts])
        values = np.array([scored.scores[i].value for i in top], dtype=np.float64)
        selected = [top[n] for n in mmr_order(min_max(values), vectors, self.diversity)]
        rest = [i for i in order if i not in set(top)]
        rest.sort(key=lambda i: not scored.scores[i].scored)
        scores = _in_order(scored.scores, selected + rest)
        return replace(scored, scores=scores, kind=ScoreKind.RANK)

    def _vectors(self, texts: Sequence[str]) -> Float32:
        encoder = _open_embedder()
        max_tokens = encoder.max_length - encoder.tokenizer.special
        tokens = encoder.tokenizer.encode(texts, limit=max_tokens)
        return encoder.embed([encoder.tokenizer.single(t.ids[:max_tokens]) for t in tokens])


@cache
def _open_embedder() -> TokenEncoder:
    return open_encoder(open_folder(bundled_path("bundled-embedder")))


def _in_order(scores: Sequence[Score], order: Sequence[int]) -> list[Score]:
    """Return the scores with their values dealt out anew, falling strictly in this order."""
    values = sorted((s.value for s in scores), reverse=True)
    step = max(1.0, abs(values[0]), abs(values[-1])) * 1e-6
    dealt = list(scores)
    previous = math.inf
    for value, i in zip(values, order, strict=True):
        previous = min(value, previous - step)
        parts = dict(scores[i].parts) or {"rerank": scores[i].value}
        parts["diversity"] = previous - scores[i].value
        dealt[i] = replace(scores[i], value=previous, parts=parts)
    return dealt


def mmr_order(
    relevance: np.ndarray[tuple[int], np.dtype[np.float64]], vectors: Float32, diversity: float
) -> list[int]:
    """Return all positions in the order of selection; ties go to the earlier position."""
    # Rounded, so that the order of summation inside of a matrix product decides no tie.
    similarities = np.round((vectors @ vectors.T).astype(np.float64), 6)
    remaining = list(range(len(relevance)))
    max_similarity = np.zeros(len(relevance))
    selected: list[int] = []
    while remaining:
        gains = (1 - diversity) * relevance[remaining]
        if selected:
            gains = gains - diversity * max_similarity[remaining]
        best = remaining[int(np.argmax(gains))]
        remaining.remove(best)
        if selected:
            max_similarity = np.maximum(max_similarity, similarities[best])
        else:
            max_similarity = similarities[best]
        selected.append(best)
    return selected
