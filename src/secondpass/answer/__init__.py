"""The last step: an answer from the passages that were found, with citations."""

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
