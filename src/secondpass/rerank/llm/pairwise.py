"""Pairwise reranking: a language model compares two documents, in both orders."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from itertools import combinations
from typing import Unpack

from secondpass.errors import InputError, nearest
from secondpass.llm import LLM
from secondpass.rerank.llm.model import (
    LLMOptions,
    LLMReranker,
    check_min,
    scores_by_order,
)
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import SETWISE, PromptDocuments
from secondpass.rerank.score import Score
from secondpass.types import ScoreKind

Compare = Callable[[int, int], float]
"""0.5 where the first wins, -0.5 where the second does, 0 for a tie."""

_STRATEGIES = ("sort", "all", "sliding")


class Pairwise(LLMReranker):
    """Sorts documents by comparing two at a time, each pair in both orders.

    A model that prefers a document in both orders has decided; one that prefers a position has
    not, and the pair is a tie, which keeps the first-stage order.

    - `strategy`: for n documents
      "sort": about n log2(n) comparisons, by merge sort;
      "all": n (n - 1) / 2, each win counting 1 and each tie 0.5, the most robust;
      "sliding": `passes` times n - 1, from the bottom to the top: the best `passes` documents
      are found.
    - `passes`: at least 1.

    Each comparison is two prompts. Scores are positions, or wins with "all"; both are
    `ScoreKind.RANK`. Source: PRP (Qin et al., NAACL 2024). The other options are those of
    `LLMReranker`.
    """

    default_prompt = SETWISE

    def __init__(
        self,
        llm: LLM | str,
        *,
        strategy: str = "sort",
        passes: int = 10,
        **options: Unpack[LLMOptions],
    ) -> None:
        super().__init__(llm, **options)
        self.passes = check_min("passes", passes, 1)
        if strategy not in _STRATEGIES:
            raise InputError(
                f"Unknown strategy {strategy!r}", fix=nearest(str(strategy), _STRATEGIES)
            )
        self.strategy = strategy

    def _score(
        self, query: str, documents: PromptDocuments, runner: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        count = len(documents.texts)
        if count == 1:
            # Nothing to compare, but a failing model must raise.
            self._choose_best(query, documents, [0], runner)
            return scores_by_order([0], documents), ScoreKind.RANK

        def compare(first: int, second: int) -> float:
            return self._compare(query, documents, first, second, runner)

        def sort_key(first: int, second: int) -> int:
            return -int(2 * compare(first, second))

        if self.strategy == "all":
            return self._count_wins(documents, compare, runner), ScoreKind.RANK
        order = list(range(count))
        if self.strategy == "sort":
            order.sort(key=cmp_to_key(sort_key))
        else:
            for top in range(min(self.passes, count - 1)):
                for i in range(count - 1, top, -1):
                    if compare(order[i - 1], order[i]) < 0:
                        order[i - 1 : i + 1] = order[i], order[i - 1]
        return scores_by_order(order, documents), ScoreKind.RANK

    def _count_wins(
        self, documents: PromptDocuments, compare: Compare, runner: PromptRunner
    ) -> list[Score]:
        pairs = list(combinations(range(len(documents.texts)), 2))
        results: dict[tuple[int, int], float] = {}

        def compare_pair(pair: tuple[int, int]) -> None:
            results[pair] = compare(*pair)

        runner.run_all([lambda p=p: compare_pair(p) for p in pairs])  # type: ignore[misc]
        wins = [0.0] * len(documents.texts)
        for (first, second), result in results.items():
            wins[first] += 0.5 + result
            wins[second] += 0.5 - result
        return [Score(w, unread=u) for w, u in zip(wins, documents.unread, strict=True)]

    def _compare(
        self,
        query: str,
        documents: PromptDocuments,
        first: int,
        second: int,
        runner: PromptRunner,
    ) -> float:
        choices = {
            self._choose_best(query, documents, pair, runner)
            for pair in ([first, second], [second, first])
        }
        if choices == {first}:
            return 0.5
        return -0.5 if choices == {second} else 0.0
