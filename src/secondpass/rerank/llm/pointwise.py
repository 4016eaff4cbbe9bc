"""A language model judges one document at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping

from secondpass.errors import InputError, nearest
from secondpass.llm import LLM
from secondpass.llm.types import Completion
from secondpass.rerank.base import Score
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.llm.model import LLMReranker
from secondpass.rerank.llm.parse import Repairs, parse_grade
from secondpass.rerank.llm.prompt_runner import PromptRunner
from secondpass.rerank.llm.prompts import GRADED, YES_NO, PromptDocuments, PromptTemplate
from secondpass.types import ScoreKind

MAX_GRADE = 4
"""The highest grade."""

_SCALES = ("auto", "yes-no", "grades")
_SCHEMA = {
    "type": "object",
    "properties": {"grade": {"type": "integer", "enum": list(range(MAX_GRADE + 1))}},
    "required": ["grade"],
    "additionalProperties": False,
}


class Pointwise(LLMReranker):
    """Judges each document by itself, with as many questions as there are documents.

    - "yes-no": the log-odds of "Yes" against "No" as the first token of the answer
      (`ScoreKind.LOGIT`, with `probability`). Needs a server with log-probabilities.
    - "grades": a grade from 0 to 4, as a share of 4 (`ScoreKind.SIMILARITY`). Works
      everywhere, and leaves many ties, which stand in first-stage order.
    - "auto": "yes-no" if the answer about the first document has log-probabilities, else
      "grades".

    `prompt` is the wording for "yes-no", `grades_prompt` that for "grades". A document whose
    question failed, or whose answer cannot be read as one, is not scored. The other
    arguments are those of `LLMReranker`.
    """

    def __init__(
        self,
        llm: LLM | str,
        *,
        scale: str = "auto",
        prompt: PromptTemplate = YES_NO,
        grades_prompt: PromptTemplate = GRADED,
        document_tokens: int = 500,
        concurrency: int = 8,
        secret: bytes | None = None,
    ) -> None:
        super().__init__(
            llm,
            prompt=prompt,
            document_tokens=document_tokens,
            concurrency=concurrency,
            secret=secret,
        )
        if scale not in _SCALES:
            raise InputError(f"Unknown scale {scale!r}", fix=nearest(str(scale), _SCALES))
        self.scale = scale
        self.grades_prompt = grades_prompt

    def _judge(
        self, query: str, documents: PromptDocuments, asking: PromptRunner
    ) -> tuple[list[Score], ScoreKind]:
        values: dict[int, float] = {}
        everything = range(len(documents.texts))
        left, logits = list(everything), self.scale == "yes-no"
        trying = self.scale == "auto" and self.llm.offers_logprobs

        def yes_no(place: int) -> None:
            answer = self._ask(query, documents.texts[place], asking, grades=False)
            value = None if answer is None else log_odds(answer)
            if value is not None:
                values[place] = value
            if answer is not None and not (trying and value is None):
                asking.read(Repairs(), usable=value is not None)

        def graded(place: int) -> None:
            answer = self._ask(query, documents.texts[place], asking, grades=True)
            if answer is not None:
                grade, repairs = parse_grade(answer.text, MAX_GRADE)
                asking.read(repairs, usable=grade is not None)
                if grade is not None:
                    values[place] = grade / MAX_GRADE

        if trying:
            # Some servers take the request and leave the log-probabilities out.
            yes_no(left[0])
            logits = left[0] in values
            left = left[1:] if logits else left
            trying = False
        judge = yes_no if logits else graded
        asking.each([lambda p=p: judge(p) for p in left])  # type: ignore[misc]
        lowest = min(values.values(), default=0.0)
        scores = []
        for place in everything:
            value, unread = values.get(place), documents.unread[place]
            if value is None:
                scores.append(Score(lowest, windows=0, unread=unread, scored=False))
            else:
                chance = sigmoid(value) if logits else None
                scores.append(Score(value, chance, unread=unread))
        return scores, ScoreKind.LOGIT if logits else ScoreKind.SIMILARITY

    def _ask(
        self, query: str, text: str, asking: PromptRunner, *, grades: bool
    ) -> Completion | None:
        marked = self._marked(query, [text])
        if grades:
            prompt = self._prompt(
                query, marked, template=self.grades_prompt, max_tokens=60, schema=_SCHEMA
            )
        else:
            prompt = self._prompt(query, marked, max_tokens=4, top_logprobs=20)
        return asking.ask(prompt, 1)


def log_odds(answer: Completion) -> float | None:
    """Return ln P(yes) - ln P(no) of the first token that is a word, or None.

    Tokens count that are a beginning of the word, in any case, with blanks or quotes around.
    One that is not among the candidates counts as the least likely of them; if neither is
    there, there is no answer.
    """
    for candidates in answer.logprobs:
        words = {token: _bare(token) for token in candidates}
        if not any(words.values()) and len(words) == 1:
            continue
        yes, no = (_mass(candidates, words, word) for word in ("yes", "no"))
        if yes is None and no is None:
            continue
        least = min(v for v in candidates.values() if math.isfinite(v))
        value = (least if yes is None else yes) - (least if no is None else no)
        return value if math.isfinite(value) else None
    return None


def _bare(token: str) -> str:
    return token.strip(" \n\t\"'*.,:!▁Ġ").lower()


def _mass(
    candidates: Mapping[str, float], words: Mapping[str, str], wanted: str
) -> float | None:
    found = [
        candidates[token]
        for token, word in words.items()
        if word and wanted.startswith(word) and math.isfinite(candidates[token])
    ]
    if not found:
        return None
    top = max(found)
    return top + math.log(sum(math.exp(value - top) for value in found))
