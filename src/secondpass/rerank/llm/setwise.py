"""A language model chooses the best of a few, and a heap makes an order of the choices."""

from __future__ import annotations

from secondpass.llm import LLM
from secondpass.rerank.base import Score
from secondpass.rerank.llm.model import LLMReranker, check_min, choice_schema, scores_by_order
from secondpass.rerank.llm.parse import parse_choice
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import SETWISE, PromptDocuments, PromptTemplate
from secondpass.types import ScoreKind


class Setwise(LLMReranker):
    """Finds the best `depth` documents by asking for the best of up to `set_size` at a time.

    A heap whose nodes have `set_size - 1` children is built and its root taken `depth`
    times; what is left follows in first-stage order. An answer is one id, which is cheap.
    Building asks about n / (set_size - 1) times, each further document about
    log(n) / log(set_size - 1) times, one question after the other. Source: Setwise (Zhuang
    et al., SIGIR 2024).

    Scores are places (`ScoreKind.RANK`). An answer that names no document counts as the
    node itself, which keeps its place. The other arguments are those of `LLMReranker`.
    """

    def __init__(
        self,
        llm: LLM | str,
        *,
        set_size: int = 4,
        depth: int = 10,
        prompt: PromptTemplate = SETWISE,
        document_tokens: int = 300,
        secret: bytes | None = None,
    ) -> None:
        super().__init__(
            llm, prompt=prompt, document_tokens=document_tokens, concurrency=1, secret=secret
        )
        self.set_size = check_min("set_size", set_size, 2)
        self.depth = check_min("depth", depth, 1)

    def _judge(
        self, query: str, documents: PromptDocuments, asking: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        heap = list(range(len(documents.texts)))
        if len(heap) == 1:
            # One document is the best of its set, but whether the model works must show.
            self._best(query, documents, heap, asking)
        for node in range((len(heap) - 2) // max(1, self.set_size - 1), -1, -1):
            self._sink(query, documents, heap, node, len(heap), asking)
        best: list[int] = []
        end = len(heap)
        while end and len(best) < self.depth:
            end -= 1
            best.append(heap[0])
            heap[0], heap[end] = heap[end], heap[0]
            self._sink(query, documents, heap, 0, end, asking)
        order = best + sorted(heap[:end])
        return scores_by_order(order, documents), ScoreKind.RANK

    def _sink(
        self,
        query: str,
        documents: PromptDocuments,
        heap: list[int],
        node: int,
        end: int,
        asking: PromptRunner,
    ) -> None:
        width = self.set_size - 1
        while (first := width * node + 1) < end:
            # In first-stage order, so that a model that takes the first keeps that order.
            places = sorted(
                [node, *range(first, min(first + width, end))], key=heap.__getitem__
            )
            chosen = self._best(query, documents, [heap[p] for p in places], asking)
            place = node if chosen is None else places[chosen]
            if place == node:
                return
            heap[node], heap[place] = heap[place], heap[node]
            node = place

    def _best(
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
        return place
