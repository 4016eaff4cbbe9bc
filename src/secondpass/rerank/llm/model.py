"""What all rerankers over a language model share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from secondpass.errors import InputError
from secondpass.llm import LLM, Prompt, load_llm
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import (
    DelimitedDocuments,
    Delimiters,
    PromptDocuments,
    PromptTemplate,
    prepare_documents,
)
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind, Status


class LLMReranker(BaseReranker):
    """Asks a language model about documents; a subclass says what it asks.

    - `llm`: a model or its name, such as "anthropic/MODEL" (see `load_llm`).
    - `prompt`: another wording than the built-in one.
    - `document_tokens`: how much of each document is read, from its beginning; `max_length`
      of `rerank` takes its place. Of a document there is one window, whatever `passages`.
    - `concurrency`: how many questions are asked at once, where they do not depend on each
      other's answers.
    - `secret`: what ids and marks are made of (see `Delimiters`); new by default.

    `usage.pairs` counts each document as often as a question showed it, and `usage.tokens`
    what the server says it read and wrote. A question that fails, or whose answer holds
    nothing of what was asked for, leaves the order of what it asked about as it was; then
    the status is "partially_reranked". If all fail, the first error is raised. What had to
    be repaired in answers stands in `reason`.
    """

    def __init__(
        self,
        llm: LLM | str,
        *,
        prompt: PromptTemplate,
        document_tokens: int,
        concurrency: int,
        secret: bytes | None,
    ) -> None:
        self.llm = load_llm(llm) if isinstance(llm, str) else llm
        self.prompt = prompt
        self.document_tokens = check_min("document_tokens", document_tokens, 1)
        self.concurrency = check_min("concurrency", concurrency, 1)
        self._marker = Delimiters(secret)

    @property
    def model(self) -> str:
        """The name of the language model."""
        return self.llm.name

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Ask about the distinct texts, in first-stage order."""
        documents = prepare_documents(candidates, options, tokens=self.document_tokens)
        asking = PromptRunner(self.llm, self.concurrency)
        scores, kind = self._judge(query, documents, asking)
        asking.check()
        complete = asking.failed == 0 and all(s.scored for s in scores)
        return Scored(
            [scores[place] for place in documents.places],
            kind,
            pairs=asking.pairs,
            tokens=asking.tokens,
            status=Status.RERANKED if complete else Status.PARTIALLY_RERANKED,
            reason=asking.reason,
        )

    @abstractmethod
    def _judge(
        self, query: str, documents: PromptDocuments, asking: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        """Return a score for each distinct text."""

    def _marked(self, query: str, texts: Sequence[str]) -> DelimitedDocuments:
        return self._marker.mark(query, texts)

    def _prompt(
        self,
        query: str,
        marked: DelimitedDocuments,
        *,
        max_tokens: int,
        template: PromptTemplate | None = None,
        schema: Mapping[str, Any] | None = None,
        top_logprobs: int = 0,
    ) -> Prompt:
        system, user = (self.prompt if template is None else template).fill(
            {
                "query": query,
                "documents": marked.text,
                "ids": ", ".join(marked.ids),
                "count": str(len(marked.ids)),
                "mark": marked.mark,
            }
        )
        return Prompt(
            system, user, max_tokens=max_tokens, schema=schema, top_logprobs=top_logprobs
        )


def scores_by_order(order: Sequence[int], documents: PromptDocuments) -> list[Score]:
    """Return scores that fall by one from place to place; the last has 1."""
    scores = [0.0] * len(order)
    for place, position in enumerate(order):
        scores[position] = float(len(order) - place)
    return [Score(s, unread=u) for s, u in zip(scores, documents.unread, strict=True)]


def check_min(name: str, value: object, least: int) -> int:
    """Return a whole number of at least `least`, or raise `InputError` naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number from {least} up, not {value!r}")
    return value


def choice_schema(name: str, ids: Sequence[str], *, many: bool) -> dict[str, Any]:
    """Return the JSON schema of an object with one property: an id, or a list of ids."""
    known: dict[str, Any] = {"type": "string", "enum": list(ids)}
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": known} if many else known},
        "required": [name],
        "additionalProperties": False,
    }
