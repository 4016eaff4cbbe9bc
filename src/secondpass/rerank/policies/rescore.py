"""A second reading: another model reads the candidates that are ranked first."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from secondpass.errors import InputError
from secondpass.option_values import RESCORE_WEIGHT, RESCORE_WINDOW
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.blend import standardize
from secondpass.rerank.policies.score_transform import add_to_scores
from secondpass.rerank.policies.wrapper import RerankerWrapper, join_reasons, total_cost
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, Status

FEW_RELEVANT = 2
"""With so many candidates expected to be relevant, a rescorer has half of its weight."""


def weight_share(probabilities: Sequence[float | None]) -> float:
    """Return how much a rescorer counts, 0 to 1, by the sum of probabilities."""
    known = [p for p in probabilities if p is not None]
    return FEW_RELEVANT / (FEW_RELEVANT + math.fsum(known))


def one_window(options: ScoringOptions) -> ScoringOptions:
    """Return the options with which a model in this process reads one window of each text.

    Of a text of more than four windows it reads two halves of a window as well.
    """
    return replace(options, token_share=1)


class Rescored(RerankerWrapper):
    """Lets `rescorer` read the candidates that are ranked first, and adds its scores.

    - `rescorer`: a reranker that reads more closely, such as a cross-encoder.
    - `window`: how many candidates it reads, from the first; at least 2.
    - `weight`: what one standard deviation of its scores adds, in standard deviations of the
      scores before, where no candidate seems relevant; above 0. Where the wrapped reranker
      gives probabilities, it is multiplied by 2 / (2 + m), where m is their sum: what answers
      is worth a second reading, the order of many that are relevant is not.

    Of a long text, a rescorer in this process reads the window that has most of the query's
    words: what it adds does not grow with what it reads, and its time does.

    Its scores are standardized over what it read, and count from the lowest of them, so nothing
    sinks below a candidate that was not read. `parts` has what it adds as "rescore", and adds
    up to the score; scores order one response only (`ScoreKind.RANK`), and `probability` stays
    the wrapped reranker's. Where less than two candidates were scored, where a fallback stands
    in for the wrapped reranker, and where one stands in for the rescorer, the scores are passed
    through; what the rescorer could not do is in `reason`.

    Like the rescoring of Lucene (`QueryRescorer`), whose scores are added as they are.

    Raises `InputError` for other numbers.
    """

    def __init__(
        self,
        reranker: BaseReranker,
        rescorer: BaseReranker,
        *,
        window: int = RESCORE_WINDOW,
        weight: float = RESCORE_WEIGHT,
    ) -> None:
        super().__init__(reranker)
        self.rescorer = rescorer
        self.window = require_count("window", window)
        if self.window < 2:
            raise InputError(f"rescore_window must be at least 2, not {window}")
        if not (math.isfinite(weight) and weight > 0):
            raise InputError(f"rescore_weight must be a number above 0, not {weight!r}")
        self.weight = float(weight)

    def models_without_instructions(self) -> tuple[str, ...]:
        """Return those of both rerankers."""
        inner = (self.reranker, self.rescorer)
        return tuple(name for r in inner for name in r.models_without_instructions())

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> Rescored:
        """Return a copy of this policy with the backends of both rerankers replaced."""
        twin = copy.copy(self)
        twin.reranker = self.reranker.map_base(function)
        twin.rescorer = self.rescorer.map_base(function)
        return twin

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the wrapped reranker, then add what the rescorer says of the first."""
        count = options.top_k
        wanted = None if count is None else max(count, self.window)
        first = self.reranker.score(query, candidates, replace(options, top_k=wanted))
        order = sorted(
            (i for i, score in enumerate(first.scores) if score.scored),
            key=lambda i: (-first.scores[i].value, i),
        )[: self.window]
        if first.status is Status.FALLBACK or len(order) < 2:
            return first
        ranked = [replace(candidates[i], rank=n) for n, i in enumerate(order, start=1)]
        second = self.rescorer.score(query, ranked, one_window(replace(options, top_k=None)))
        failed = second.status is Status.FALLBACK
        note = f"{self.rescorer.model} did not rescore: {second.reason}"
        spent = replace(
            first,
            reason=join_reasons([first.reason, note if failed else second.reason]),
            pairs=first.pairs + second.pairs,
            tokens=first.tokens + second.tokens,
            requests=first.requests + second.requests,
            searches=first.searches + second.searches,
            cost=total_cost([first, second]),
        )
        if failed or not any(s.scored for s in second.scores):
            return spent
        standard = standardize([s.value if s.scored else None for s in second.scores])
        added = np.zeros(len(candidates))
        weight = self.weight * weight_share([s.probability for s in first.scores if s.scored])
        added[order] = weight * (standard - standard.min())
        return add_to_scores(spent, {"rescore": added.tolist()})
