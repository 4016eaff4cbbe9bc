"""A question that stands by itself, made of one that goes on from a conversation."""

from __future__ import annotations

from secondpass.answer import Turn
from secondpass.answer.prompts import REWRITE
from secondpass.answer.query_rewriting import rewritten as reworded
from secondpass.answer.query_rewriting import within
from secondpass.inference.unicode import clean
from secondpass.llm import LLM
from secondpass.server.cloudflare.messages import Question


def rewritten(llm: LLM | None, question: Question, system: str | None) -> str:
    """Return what to search for; the question as it is without a model, or where it fails.

    `system` tells the model how; the conversation comes with the question.
    """
    if llm is None:
        return question.text
    found, _, _ = reworded(llm, question.text, _turns(question), system=system or REWRITE)
    return clean(found)


def conversation(question: Question) -> str:
    """Return what was said before a question, for a model to read; "" for a first one."""
    return within("", _turns(question)).removesuffix("Now: ")


def _turns(question: Question) -> list[Turn]:
    return [Turn(role, text) for role, text in question.history]
