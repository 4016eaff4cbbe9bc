"""Setwise reranking: a language model chooses the best of a few, and a heap sorts."""

from __future__ import annotations

from typing import Unpack

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


class Setwise(LLMReranker):
    """Finds the best `depth` documents by prompting for the best of up to `set_size` at a time.

    - `set_size`: at least 2; `depth`: at least 1.

    A heap whose nodes have `set_size - 1` children is built and its root taken `depth` times;
    the other documents follow in first-stage order. An answer is one id, which is cheap.
    Building the heap takes about n / (set_size - 1) prompts, each further document about
    log(n) / log(set_size - 1), one after the other, so `concurrency` has no effect. Source:
    Setwise (Zhuang et al., SIGIR 2024).

    Scores are positions (`ScoreKind.RANK`). Where an answer names no document, the node keeps
    its place. The other options are those of `LLMReranker`.
    """

    default_prompt = SETWISE
    default_concurrency = 1

    def __init__(
        self,
        llm: LLM | str,
        *,
        set_size: int = 4,
        depth: int = 10,
        **options: Unpack[LLMOptions],
    ) -> None:
        super().__init__(llm, **options)
        self.set_size = check_min("set_size", set_size, 2)
        self.depth = check_min("depth", depth, 1)

    def _score(
        self, query: str, documents: PromptDocuments, runner: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        heap = list(range(len(documents.texts)))
        if len(heap) == 1:
            # Nothing to choose, but a failing model must raise.
            self._choose_best(query, documents, heap, runner)
        for node in range((len(heap) - 2) // max(1, self.set_size - 1), -1, -1):
            self._sift_down(query, documents, heap, node, len(heap), runner)
        best: list[int] = []
        end = len(heap)
        while end and len(best) < self.depth:
            end -= 1
            best.append(heap[0])
            heap[0], heap[end] = heap[end], heap[0]
            self._sift_down(query, documents, heap, 0, end, runner)
        order = best + sorted(heap[:end])
        return scores_by_order(order, documents), ScoreKind.RANK

    def _sift_down(
        self,
        query: str,
        documents: PromptDocuments,
        heap: list[int],
        node: int,
        end: int,
        runner: PromptRunner,
    ) -> None:
        """Swap a node with the best of its children until it is the best of them."""
        children = self.set_size - 1
        while (first := children * node + 1) < end:
            family = [node, *range(first, min(first + children, end))]
            # In first-stage order, so that a model that takes the first keeps that order.
            positions = sorted(heap[i] for i in family)
            best = self._choose_best(query, documents, positions, runner)
            if best is None or best == heap[node]:
                return
            child = next(i for i in family if heap[i] == best)
            heap[node], heap[child] = heap[child], heap[node]
            node = child
