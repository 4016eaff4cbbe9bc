"""Listwise reranking: a language model sorts a list, a window at a time."""

from __future__ import annotations

from typing import Unpack

from secondpass.errors import InputError, nearest
from secondpass.llm import LLM
from secondpass.rerank.llm.model import (
    LLMOptions,
    LLMReranker,
    check_min,
    choice_schema,
    scores_by_order,
)
from secondpass.rerank.llm.parse import parse_order
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import LISTWISE, PromptDocuments
from secondpass.rerank.score import Score
from secondpass.types import ScoreKind

_STRATEGIES = ("sliding", "tournament")

# Of an answer: an id with its quotes and comma, and the JSON object around all.
_TOKENS_PER_ID, _OTHER_TOKENS = 10, 60


class Listwise(LLMReranker):
    """Sorts documents by prompting for the order of `window` of them at a time.

    - `strategy`: "sliding" or "tournament".
      "sliding": windows move from the bottom of the list to its top by `stride` (half a window
      by default), so that a good document can climb all the way, `passes` times. Source:
      RankGPT (Sun et al., EMNLP 2023). A pass over n documents takes about
      (n - window) / stride + 1 prompts.
      "tournament": separate windows are sorted at the same time and the better half of each
      goes on, until one window is left. Fewer steps that wait for each other, but a document
      that loses early does not come back.
    - `window`: at least 2; `stride`: at least 1, at most the window; `passes`: at least 1.

    Scores are positions (`ScoreKind.RANK`). The other options are those of `LLMReranker`.
    Raises `InputError` for other values.
    """

    default_prompt = LISTWISE

    def __init__(
        self,
        llm: LLM | str,
        *,
        window: int = 20,
        stride: int | None = None,
        passes: int = 1,
        strategy: str = "sliding",
        **options: Unpack[LLMOptions],
    ) -> None:
        super().__init__(llm, **options)
        self.window = check_min("window", window, 2)
        self.stride = check_min("stride", window // 2 if stride is None else stride, 1)
        self.passes = check_min("passes", passes, 1)
        if self.stride > window:
            raise InputError(
                f"stride is {self.stride} and window is {window}",
                why="documents between two windows would never be read",
                fix="Give a stride that is not above the window.",
            )
        if strategy not in _STRATEGIES:
            raise InputError(
                f"Unknown strategy {strategy!r}", fix=nearest(str(strategy), _STRATEGIES)
            )
        self.strategy = strategy

    def _score(
        self, query: str, documents: PromptDocuments, runner: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        order = list(range(len(documents.texts)))
        if self.strategy == "tournament":
            order = self._tournament(query, documents, order, runner)
        else:
            order = self._sliding(query, documents, order, runner)
        return scores_by_order(order, documents), ScoreKind.RANK

    def _sliding(
        self, query: str, documents: PromptDocuments, order: list[int], runner: PromptRunner
    ) -> list[int]:
        for _ in range(self.passes):
            end = len(order)
            while True:
                start = max(0, end - self.window)
                order[start:end] = self._sort(query, documents, order[start:end], runner)
                if start == 0:
                    break
                end -= self.stride
        return order

    def _tournament(
        self,
        query: str,
        documents: PromptDocuments,
        contenders: list[int],
        runner: PromptRunner,
    ) -> list[int]:
        eliminated: list[int] = []
        while len(contenders) > self.window:
            groups = [
                contenders[i : i + self.window] for i in range(0, len(contenders), self.window)
            ]
            sorted_groups: list[list[int]] = [[] for _ in groups]

            def sort_group(number: int, groups: list[list[int]], out: list[list[int]]) -> None:
                out[number] = self._sort(query, documents, groups[number], runner)

            runner.run_all(
                [
                    lambda n=n, g=groups, o=sorted_groups: sort_group(n, g, o)  # type: ignore[misc]
                    for n in range(len(groups))
                ]
            )
            halves = [(len(group) + 1) // 2 for group in groups]
            # Rank by rank, so that the second of one group is next to that of another.
            contenders = _interleave(
                [group[:half] for group, half in zip(sorted_groups, halves, strict=True)]
            )
            losers = _interleave(
                [group[half:] for group, half in zip(sorted_groups, halves, strict=True)]
            )
            eliminated = losers + eliminated
        return self._sort(query, documents, contenders, runner) + eliminated

    def _sort(
        self,
        query: str,
        documents: PromptDocuments,
        positions: list[int],
        runner: PromptRunner,
    ) -> list[int]:
        """Return positions in the model's order, or unchanged where it fails."""
        delimited = self._delimit(query, [documents.texts[p] for p in positions])
        prompt = self._build_prompt(
            query,
            delimited,
            max_tokens=_TOKENS_PER_ID * len(positions) + _OTHER_TOKENS,
            schema=choice_schema("order", delimited.ids, many=True),
        )
        answer = runner.complete(prompt, len(positions))
        if answer is None:
            return positions
        order = parse_order(answer.text, delimited.ids)
        runner.record(order.repairs, usable=order.named > 0)
        return [positions[i] for i in order.positions]


def _interleave(lists: list[list[int]]) -> list[int]:
    longest = max(map(len, lists))
    return [items[i] for i in range(longest) for items in lists if i < len(items)]
