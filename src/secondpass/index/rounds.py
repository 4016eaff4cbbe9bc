"""Reading in rounds: a search reads some candidates before it knows which the others are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from secondpass.errors import InputError
from secondpass.inference.query_cut import QueryCut
from secondpass.option_types import declared
from secondpass.options import RerankOptions
from secondpass.rerank.base import BaseReranker, make_scoring_options, too_long
from secondpass.rerank.policies.wrapper import (
    RerankerWrapper,
    join_reasons,
    merge_scores,
    require_pairwise_scores,
)
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.window_choice import token_share
from secondpass.types import Candidate, Document, Status

# Applied once to all that was read; `top_k` too, because a round does not know the others.
_OF_THE_RESPONSE = (
    "top_k",
    "min_score",
    "min_probability",
    "truncate",
    "on_unsupported",
    "spans",
    "return_documents",
    "budget_tokens",
)


def reads_in_rounds(chosen: Mapping[str, Any]) -> bool:
    """Return whether a search reads some candidates before it knows the others.

    Raises `InputError` for options that exclude each other.
    """
    if chosen["adaptive"] and chosen["feedback"] is not None:
        raise InputError(
            "adaptive and feedback cannot be combined",
            why="each decides which candidates are read last",
            fix="Leave one of them out.",
        )
    in_rounds = bool(chosen["adaptive"]) or chosen["feedback"] is not None
    if in_rounds and chosen["group_by"] is not None:
        name = "adaptive" if chosen["adaptive"] else "feedback"
        raise InputError(
            f"{name} and group_by cannot be combined",
            why="passages that are found while others are read are mostly of the same groups",
            fix="Leave one of them out.",
        )
    return in_rounds


class ReadOnce(RerankerWrapper):
    """Scores each passage of an index once, however often it is asked during one search.

    For one search by one thread. What it paid for all calls is in each result.
    """

    def __init__(self, reranker: BaseReranker) -> None:
        super().__init__(reranker)
        self.scores: dict[str, Score] = {}
        self._calls: list[Scored] = []
        self._started = time.perf_counter()

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score the passages that are new, and return the scores of all.

        Where a fallback or another model of a chain stands in on the way, all are scored
        again: scores of two models cannot be compared.
        """
        # One clock for all rounds: a budget is for the whole search.
        options = replace(options, started=self._started)
        keys = [candidate.document.key for candidate in candidates]
        new = [i for i, key in enumerate(keys) if key not in self.scores]
        if new:
            scored = self.reranker.score(query, [candidates[i] for i in new], options)
            if scored.status is Status.FALLBACK or (
                self._calls and scored.model != self._calls[0].model
            ):
                self.scores.clear()
                self._calls.clear()
                if len(new) == len(candidates):
                    return scored
                return self.reranker.score(query, candidates, options)
            require_pairwise_scores(
                "A search that reads in rounds",
                scored,
                "Leave out adaptive, feedback and variant_scores, or use another reranker.",
            )
            self.scores |= {keys[i]: s for i, s in zip(new, scored.scores, strict=True)}
            self._calls.append(scored)
        return merge_scores(
            {i: self.scores[key] for i, key in enumerate(keys)},
            len(candidates),
            parts=self._calls,
        )


class BestOfQueries(RerankerWrapper):
    """Reads each candidate with several queries; the highest score counts.

    The reranker is asked once for each query, so it reads as many pairs as there are queries
    and candidates. Raises `InputError` for scores that only order one list.
    """

    def __init__(self, reranker: BaseReranker, variants: Sequence[str]) -> None:
        super().__init__(reranker)
        self._variants = tuple(variants)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score with the query and its variants, and keep the best score of each."""
        calls: list[Scored] = []
        cuts = [self.cut_query(v, options.max_query_tokens) for v in self._variants]
        for text in (query, *(cut.text for cut in cuts)):
            scored = self.reranker.score(text, candidates, options)
            if scored.status is Status.FALLBACK:
                return scored
            require_pairwise_scores(
                'variant_scores "max"', scored, 'Use "first", or another reranker.'
            )
            calls.append(scored)
        columns = zip(*(call.scores for call in calls), strict=True)
        best = {
            i: max(scores, key=lambda score: (score.scored, score.value))
            for i, scores in enumerate(columns)
        }
        merged = merge_scores(best, len(candidates), parts=calls, same_query=False)
        reason = join_reasons([merged.reason, unread_variants(cuts)])
        return replace(merged, reason=reason)


def unread_variants(cuts: Sequence[QueryCut]) -> str | None:
    """Return how much of the variants of a query was not read, or None for nothing."""
    unread = sum(cut.unread for cut in cuts)
    return f"{unread} characters of query variants were not read" if unread else None


class Rounds:
    """The rounds of one search: what was read, with which scores.

    `chosen` has a value for every option of a search, and `limit` is how many candidates are
    read in all.
    """

    def __init__(
        self, reader: ReadOnce, query: str, chosen: Mapping[str, Any], limit: int
    ) -> None:
        self._reader, self._limit = reader, limit
        reader.check_instructions(chosen["instructions"], chosen["on_unsupported"])
        cut = reader.cut_query(query, chosen["max_query_tokens"])
        if cut.unread and not chosen["truncate"]:
            raise too_long("query", len(query), cut.unread)
        self._query = cut.text
        self._budget = chosen["budget_tokens"]
        names = [name for name in declared(RerankOptions) if name not in _OF_THE_RESPONSE]
        self._options = make_scoring_options(**{name: chosen[name] for name in names})
        self.taken: dict[str, Candidate] = {}
        self.milliseconds = 0.0
        self.stopped = False

    @property
    def room(self) -> int:
        """How many more candidates may be read; 0 once a round was not read whole."""
        return 0 if self.stopped else self._limit - len(self.taken)

    def read(self, batch: Sequence[Candidate]) -> None:
        """Read candidates that were not read before, at least one."""
        started = time.perf_counter()
        share = token_share(
            self._options.texts(batch), max(1, self._budget * len(batch) // self._limit)
        )
        options = replace(self._options, token_share=share)
        scored = self._reader.score(self._query, batch, options)
        self.taken |= {candidate.document.key: candidate for candidate in batch}
        # A budget is spent, or the model failed: further rounds would have nothing to go by.
        self.stopped = not all(score.scored for score in scored.scores)
        self.milliseconds += (time.perf_counter() - started) * 1000

    def best(self) -> list[Document]:
        """Return the documents that were read, best first."""
        scores = self._reader.scores
        known = [key for key in self.taken if key in scores and scores[key].scored]
        known.sort(key=lambda key: (-scores[key].value, key))
        return [self.taken[key].document for key in known]

    def fill(self, pool: Sequence[Candidate]) -> list[Candidate]:
        """Return what was taken, and the best of a pool up to the limit, without reading it."""
        rest = [c for c in pool if c.document.key not in self.taken]
        return [*self.taken.values(), *rest][: self._limit]
