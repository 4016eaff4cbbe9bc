"""Pointwise reranking: a language model judges one document at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Unpack

from secondpass.errors import InputError, nearest
from secondpass.llm import LLM
from secondpass.llm.types import Completion
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.llm.model import LLMOptions, LLMReranker
from secondpass.rerank.llm.parse import Repairs, parse_grade
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import GRADED, YES_NO, PromptDocuments, PromptTemplate
from secondpass.rerank.score import Score
from secondpass.types import ScoreKind

MAX_GRADE = 4

_SCALES = ("auto", "yes-no", "grades")
_SCHEMA = {
    "type": "object",
    "properties": {"grade": {"type": "integer", "enum": list(range(MAX_GRADE + 1))}},
    "required": ["grade"],
    "additionalProperties": False,
}


class Pointwise(LLMReranker):
    """Judges each document by itself, with one prompt for each.

    - `scale`:
      "yes-no": the log-odds of "Yes" against "No" as the first token of the answer
      (`ScoreKind.LOGIT`, with `probability`). Needs a server with log-probabilities.
      "grades": a grade from 0 to 4, divided by 4 (`ScoreKind.SIMILARITY`). Works everywhere,
      and leaves many ties, which stay in first-stage order.
      "auto": "yes-no" if the answer about the first document has log-probabilities, else
      "grades".
    - `prompt`: the prompt for "yes-no"; `grades_prompt`: that for "grades".

    A document whose prompt failed, or whose answer is not valid, is not scored. The other
    options are those of `LLMReranker`.
    """

    default_prompt = YES_NO
    default_document_tokens = 500
    default_concurrency = 8

    def __init__(
        self,
        llm: LLM | str,
        *,
        scale: str = "auto",
        grades_prompt: PromptTemplate = GRADED,
        **options: Unpack[LLMOptions],
    ) -> None:
        super().__init__(llm, **options)
        if scale not in _SCALES:
            raise InputError(f"Unknown scale {scale!r}", fix=nearest(str(scale), _SCALES))
        self.scale = scale
        self.grades_prompt = grades_prompt

    def _score(
        self, query: str, documents: PromptDocuments, runner: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        values: dict[int, float] = {}
        positions = range(len(documents.texts))
        remaining, logits = list(positions), self.scale == "yes-no"
        detecting = self.scale == "auto" and self.llm.offers_logprobs

        def score_yes_no(position: int) -> None:
            answer = self._complete(query, documents, position, runner, grades=False)
            value = None if answer is None else log_odds(answer)
            if value is not None:
                values[position] = value
            if answer is not None and not (detecting and value is None):
                runner.record(Repairs(), usable=value is not None)

        def score_grade(position: int) -> None:
            answer = self._complete(query, documents, position, runner, grades=True)
            if answer is not None:
                grade, repairs = parse_grade(answer.text, MAX_GRADE)
                runner.record(repairs, usable=grade is not None)
                if grade is not None:
                    values[position] = grade / MAX_GRADE

        if detecting:
            # Some servers accept the request and leave the log-probabilities out.
            score_yes_no(remaining[0])
            logits = remaining[0] in values
            remaining = remaining[1:] if logits else remaining
            detecting = False
        score = score_yes_no if logits else score_grade
        runner.run_all([lambda p=p: score(p) for p in remaining])  # type: ignore[misc]
        lowest = min(values.values(), default=0.0)
        scores = []
        for position in positions:
            value, unread = values.get(position), documents.unread[position]
            if value is None:
                scores.append(Score(lowest, windows=0, unread=unread, scored=False))
            else:
                probability = sigmoid(value) if logits else None
                scores.append(Score(value, probability, unread=unread))
        return scores, ScoreKind.LOGIT if logits else ScoreKind.SIMILARITY

    def _complete(
        self,
        query: str,
        documents: PromptDocuments,
        position: int,
        runner: PromptRunner,
        *,
        grades: bool,
    ) -> Completion | None:
        delimited = self._delimit(query, [documents.texts[position]])
        if grades:
            prompt = self._build_prompt(
                query, delimited, template=self.grades_prompt, max_tokens=60, schema=_SCHEMA
            )
        else:
            prompt = self._build_prompt(query, delimited, max_tokens=4, top_logprobs=20)
        return runner.complete(prompt, 1)


def log_odds(answer: Completion) -> float | None:
    """Return ln P(yes) - ln P(no) of the first token that is a word, or None.

    Tokens that begin the word count, in any case, with blanks or quotes around. A word that is
    not among the candidates counts as the least likely of them; None where both are missing.
    """
    for candidates in answer.logprobs:
        words = {token: _normalize(token) for token in candidates}
        if not any(words.values()) and len(words) == 1:
            continue
        yes, no = (_log_sum(candidates, words, word) for word in ("yes", "no"))
        if yes is None and no is None:
            continue
        lowest = min(v for v in candidates.values() if math.isfinite(v))
        value = (lowest if yes is None else yes) - (lowest if no is None else no)
        return value if math.isfinite(value) else None
    return None


def _normalize(token: str) -> str:
    return token.strip(" \n\t\"'*.,:!▁Ġ").lower()


def _log_sum(
    candidates: Mapping[str, float], words: Mapping[str, str], target: str
) -> float | None:
    """Return the logarithm of the total probability of a word's tokens, None for none."""
    logprobs = [
        candidates[token]
        for token, word in words.items()
        if word and target.startswith(word) and math.isfinite(candidates[token])
    ]
    if not logprobs:
        return None
    top = max(logprobs)
    return top + math.log(sum(math.exp(value - top) for value in logprobs))
