"""The base class of rerankers that prompt a language model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict, Unpack

from secondpass.errors import InputError
from secondpass.llm import LLM, Prompt, load_llm
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.llm.parse import parse_choice
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import (
    DelimitedDocuments,
    Delimiters,
    PromptDocuments,
    PromptTemplate,
    prepare_documents,
)
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind, Status

# Of an answer with one id: the id, its quotes, and the JSON object around it.
_CHOICE_TOKENS = 60


class LLMOptions(TypedDict, total=False):
    """The options of every `LLMReranker`."""

    prompt: PromptTemplate
    document_tokens: int
    concurrency: int
    secret: bytes | None


class LLMReranker(BaseReranker):
    """Prompts a language model about documents; a subclass says with which prompts.

    - `llm`: a model or its name, such as "anthropic/MODEL" (see `load_llm`).
    - `prompt`: another prompt than the built-in one.
    - `document_tokens`: how many tokens of each document are read, from its beginning;
      `max_length` of `rerank` comes before it. A document has one window, whatever `passages`.
    - `concurrency`: how many prompts are sent at once, where they do not depend on each other.
    - `secret`: the seed of ids and delimiters (see `Delimiters`); random by default.

    `usage.pairs` counts each document as often as a prompt showed it, and `usage.tokens` what
    the server reports. Where a prompt fails, or its answer is not usable, the order of its
    documents stays, and the status is "partially_reranked". If all fail, the first error is
    raised. What had to be repaired in answers is in `reason`. Raises `InputError` for numbers
    below 1.
    """

    default_prompt: ClassVar[PromptTemplate]
    default_document_tokens: ClassVar[int] = 300
    default_concurrency: ClassVar[int] = 4

    runs_here = False
    follows_instructions = True

    def __init__(self, llm: LLM | str, **options: Unpack[LLMOptions]) -> None:
        self.llm = load_llm(llm) if isinstance(llm, str) else llm
        self.prompt = options.get("prompt", self.default_prompt)
        document_tokens = options.get("document_tokens", self.default_document_tokens)
        self.document_tokens = check_min("document_tokens", document_tokens, 1)
        concurrency = options.get("concurrency", self.default_concurrency)
        self.concurrency = check_min("concurrency", concurrency, 1)
        self._delimiters = Delimiters(options.get("secret"))

    @property
    def model(self) -> str:
        """The name of the language model."""
        return self.llm.name

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score the distinct texts, which prompts show in first-stage order."""
        documents = prepare_documents(candidates, options, tokens=self.document_tokens)
        runner = PromptRunner(self.llm, self.concurrency, options.instructions)
        scores, kind = self._score(query, documents, runner)
        runner.check()
        complete = runner.failed == 0 and all(s.scored for s in scores)
        return Scored(
            [scores[position] for position in documents.positions],
            kind,
            pairs=runner.pairs,
            tokens=runner.tokens,
            status=Status.RERANKED if complete else Status.PARTIALLY_RERANKED,
            reason=runner.reason,
        )

    @abstractmethod
    def _score(
        self, query: str, documents: PromptDocuments, runner: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        """Return the score of each distinct text."""

    def _delimit(self, query: str, texts: Sequence[str]) -> DelimitedDocuments:
        return self._delimiters.delimit(query, texts)

    def _build_prompt(
        self,
        query: str,
        documents: DelimitedDocuments,
        *,
        max_tokens: int,
        template: PromptTemplate | None = None,
        schema: Mapping[str, Any] | None = None,
        top_logprobs: int = 0,
    ) -> Prompt:
        system, user = (self.prompt if template is None else template).fill(
            {
                "query": query,
                "documents": documents.text,
                "ids": ", ".join(documents.ids),
                "count": str(len(documents.ids)),
                "mark": documents.mark,
            }
        )
        return Prompt(
            system, user, max_tokens=max_tokens, schema=schema, top_logprobs=top_logprobs
        )

    def _choose_best(
        self,
        query: str,
        documents: PromptDocuments,
        positions: Sequence[int],
        runner: PromptRunner,
    ) -> int | None:
        """Return the position that the model chooses from several, None where it fails."""
        delimited = self._delimit(query, [documents.texts[p] for p in positions])
        schema = choice_schema("best", delimited.ids, many=False)
        prompt = self._build_prompt(query, delimited, max_tokens=_CHOICE_TOKENS, schema=schema)
        answer = runner.complete(prompt, len(positions))
        if answer is None:
            return None
        choice, repairs = parse_choice(answer.text, delimited.ids)
        runner.record(repairs, usable=choice is not None)
        return None if choice is None else positions[choice]


def scores_by_order(order: Sequence[int], documents: PromptDocuments) -> list[Score]:
    """Return scores that fall by one along the order; the last is 1."""
    values = [0.0] * len(order)
    for rank, position in enumerate(order):
        values[position] = float(len(order) - rank)
    return [Score(v, unread=u) for v, u in zip(values, documents.unread, strict=True)]


def check_min(name: str, value: object, minimum: int) -> int:
    """Return a whole number of at least `minimum`, or raise `InputError` naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InputError(f"{name} must be a whole number of at least {minimum}: {value!r}")
    return value


def choice_schema(name: str, ids: Sequence[str], *, many: bool) -> dict[str, Any]:
    """Return the JSON schema of an object with one property: an id, or a list of ids."""
    item: dict[str, Any] = {"type": "string", "enum": list(ids)}
    return {
        "type": "object",
        "properties": {name: {"type": "array", "items": item} if many else item},
        "required": [name],
        "additionalProperties": False,
    }
