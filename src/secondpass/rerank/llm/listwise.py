"""A language model orders a list, a window at a time."""

from __future__ import annotations

from secondpass.errors import InputError, nearest
from secondpass.llm import LLM
from secondpass.rerank.base import Score
from secondpass.rerank.llm.model import LLMReranker, check_min, choice_schema, scores_by_order
from secondpass.rerank.llm.parse import parse_order
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import LISTWISE, PromptDocuments, PromptTemplate
from secondpass.types import ScoreKind

_STRATEGIES = ("sliding", "tournament")

# An id, its quotes and a comma; and some for the object around.
_TOKENS_AN_ID, _TOKENS_AROUND = 10, 60


class Listwise(LLMReranker):
    """Orders documents by asking for the order of `window` of them at a time.

    - "sliding": windows move from the bottom of the list to its top by `stride` (half a
      window by default), so that a good document can climb all the way, `passes` times.
      Source: RankGPT (Sun et al., EMNLP 2023). A pass over n documents asks about
      (n - window) / stride + 1 times.
    - "tournament": windows side by side are ordered at once, the better half of each goes
      on, until one window is left. Fewer steps that wait for each other, but a document
      that loses early does not come back.

    Scores are places (`ScoreKind.RANK`). The other arguments are those of `LLMReranker`.
    Raises `InputError` for numbers that cannot be used.
    """

    def __init__(
        self,
        llm: LLM | str,
        *,
        window: int = 20,
        stride: int | None = None,
        passes: int = 1,
        strategy: str = "sliding",
        prompt: PromptTemplate = LISTWISE,
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

    def _judge(
        self, query: str, documents: PromptDocuments, asking: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        everything = list(range(len(documents.texts)))
        if self.strategy == "tournament":
            order = self._tournament(query, documents, everything, asking)
        else:
            order = self._sliding(query, documents, everything, asking)
        return scores_by_order(order, documents), ScoreKind.RANK

    def _sliding(
        self, query: str, documents: PromptDocuments, order: list[int], asking: PromptRunner
    ) -> list[int]:
        for _ in range(self.passes):
            end = len(order)
            while True:
                start = max(0, end - self.window)
                order[start:end] = self._order(query, documents, order[start:end], asking)
                if start == 0:
                    break
                end -= self.stride
        return order

    def _tournament(
        self, query: str, documents: PromptDocuments, left: list[int], asking: PromptRunner
    ) -> list[int]:
        behind: list[int] = []
        while len(left) > self.window:
            groups = [left[i : i + self.window] for i in range(0, len(left), self.window)]
            ordered: dict[int, list[int]] = {}

            def play(number: int, group: list[int], ordered: dict[int, list[int]]) -> None:
                ordered[number] = self._order(query, documents, group, asking)

            asking.each(
                [lambda n=n, g=g, o=ordered: play(n, g, o) for n, g in enumerate(groups)]  # type: ignore[misc]
            )
            halves = [(len(group) + 1) // 2 for group in groups]
            results = [ordered[n] for n in range(len(groups))]
            # Place by place, so that the second of one group stands beside that of another.
            left = _interleaved([r[:half] for r, half in zip(results, halves, strict=True)])
            lost = _interleaved([r[half:] for r, half in zip(results, halves, strict=True)])
            behind = lost + behind
        return self._order(query, documents, left, asking) + behind

    def _order(
        self, query: str, documents: PromptDocuments, some: list[int], asking: PromptRunner
    ) -> list[int]:
        """Return some positions in the model's order, or as they are where it fails."""
        marked = self._marked(query, [documents.texts[p] for p in some])
        prompt = self._prompt(
            query,
            marked,
            max_tokens=_TOKENS_AN_ID * len(some) + _TOKENS_AROUND,
            schema=choice_schema("order", marked.ids, many=True),
        )
        answer = asking.ask(prompt, len(some))
        if answer is None:
            return some
        found = parse_order(answer.text, marked.ids)
        asking.read(found.repairs, usable=found.found > 0)
        return [some[place] for place in found.positions]


def _interleaved(lists: list[list[int]]) -> list[int]:
    longest = max(map(len, lists))
    return [one[place] for place in range(longest) for one in lists if place < len(one)]
