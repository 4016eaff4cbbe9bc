"""A language model compares two documents, in both orders."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from itertools import combinations

from secondpass.errors import InputError, nearest
from secondpass.llm import LLM
from secondpass.rerank.base import Score
from secondpass.rerank.llm.model import LLMReranker, check_min, choice_schema, scores_by_order
from secondpass.rerank.llm.parse import parse_choice
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import SETWISE, PromptDocuments, PromptTemplate
from secondpass.types import ScoreKind

Compare = Callable[[int, int], float]
"""0.5 where the first wins, -0.5 where the second does, 0 for a tie."""

_STRATEGIES = ("sort", "all", "sliding")


class Pairwise(LLMReranker):
    """Orders documents by comparing two at a time, each pair in both orders.

    A model that prefers a document wherever it stands has decided; one that prefers a place
    has not, and the pair is a tie, which keeps the first-stage order. n documents take

    - "sort": about n log2(n) comparisons, by merge sort;
    - "all": n (n - 1) / 2, each win counting 1 and each tie 0.5, the most robust;
    - "sliding": `passes` times n - 1, from the bottom to the top: the best `passes`
      documents are found.

    Each comparison is two questions. Scores are places, or wins with "all"; both are
    `ScoreKind.RANK`. Source: PRP (Qin et al., NAACL 2024). The other arguments are those of
    `LLMReranker`.
    """

    def __init__(
        self,
        llm: LLM | str,
        *,
        strategy: str = "sort",
        passes: int = 10,
        prompt: PromptTemplate = SETWISE,
        document_tokens: int = 300,
        concurrency: int = 4,
        secret: bytes | None = None,
    ) -> None:
        super().__init__(
            llm,
            prompt=prompt,
            document_tokens=document_tokens,
            concurrency=concurrency,
            secret=secret,
        )
        self.passes = check_min("passes", passes, 1)
        if strategy not in _STRATEGIES:
            raise InputError(
                f"Unknown strategy {strategy!r}", fix=nearest(str(strategy), _STRATEGIES)
            )
        self.strategy = strategy

    def _judge(
        self, query: str, documents: PromptDocuments, asking: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        count = len(documents.texts)
        if count == 1:
            # Nothing to compare, but whether the model works must show.
            self._choose(query, documents, [0], asking)
            return scores_by_order([0], documents), ScoreKind.RANK

        def compare(one: int, other: int) -> float:
            return self._compare(query, documents, one, other, asking)

        def before(one: int, other: int) -> int:
            return -int(2 * compare(one, other))

        if self.strategy == "all":
            return self._all(documents, compare, asking), ScoreKind.RANK
        order = list(range(count))
        if self.strategy == "sort":
            order.sort(key=cmp_to_key(before))
        else:
            for top in range(min(self.passes, count - 1)):
                for place in range(count - 1, top, -1):
                    if compare(order[place - 1], order[place]) < 0:
                        order[place - 1 : place + 1] = order[place], order[place - 1]
        return scores_by_order(order, documents), ScoreKind.RANK

    def _all(
        self, documents: PromptDocuments, compare: Compare, asking: PromptRunner
    ) -> list[Score]:
        pairs = list(combinations(range(len(documents.texts)), 2))
        results: dict[tuple[int, int], float] = {}

        def play(pair: tuple[int, int]) -> None:
            results[pair] = compare(*pair)

        asking.each([lambda p=p: play(p) for p in pairs])  # type: ignore[misc]
        wins = [0.0] * len(documents.texts)
        for (one, other), result in results.items():
            wins[one] += 0.5 + result
            wins[other] += 0.5 - result
        return [Score(w, unread=u) for w, u in zip(wins, documents.unread, strict=True)]

    def _compare(
        self, query: str, documents: PromptDocuments, one: int, other: int, asking: PromptRunner
    ) -> float:
        there = self._choose(query, documents, [one, other], asking)
        back = self._choose(query, documents, [other, one], asking)
        return 0.5 if there == back == one else -0.5 if there == back == other else 0.0

    def _choose(
        self, query: str, documents: PromptDocuments, some: list[int], asking: PromptRunner
    ) -> int | None:
        marked = self._marked(query, [documents.texts[p] for p in some])
        prompt = self._prompt(
            query, marked, max_tokens=60, schema=choice_schema("best", marked.ids, many=False)
        )
        answer = asking.ask(prompt, len(some))
        if answer is None:
            return None
        place, repairs = parse_choice(answer.text, marked.ids)
        asking.read(repairs, usable=place is not None)
        return None if place is None else some[place]
