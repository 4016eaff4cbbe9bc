"""Answers from search results: generated or extracted, with checked citations."""

from __future__ import annotations

from secondpass.answer.answer import AnswerStream, answer, stream_answer
from secondpass.answer.types import Answer, AnswerStatus, Citation, Passage, Turn

__all__ = [
    "Answer",
    "AnswerStatus",
    "AnswerStream",
    "Citation",
    "Passage",
    "Turn",
    "answer",
    "stream_answer",
]
