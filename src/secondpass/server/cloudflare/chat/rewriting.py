"""A question that stands by itself, made of one that goes on from a conversation."""

from __future__ import annotations

from secondpass.answer.prompts import REWRITE
from secondpass.engine.unicode import clean
from secondpass.errors import LLMError
from secondpass.llm import LLM, Prompt, Stop
from secondpass.server.cloudflare.search.messages import Question

_MOST_MESSAGES = 10
_LONGEST_MESSAGE = 2000
_LONGEST_QUERY = 400
_MOST_TOKENS = 80


def rewritten(llm: LLM | None, question: Question, system: str | None) -> str:
    """Return what to search for; the question as it is without a model, or where it fails.

    `system` tells the model how; the conversation comes with the question.
    """
    if llm is None:
        return question.text
    asked = f"{conversation(question)}{question.text}"
    try:
        found = llm.complete(Prompt(system or REWRITE, asked, max_tokens=_MOST_TOKENS))
    except LLMError:
        return question.text
    lines = [clean(line).strip().strip("\"'") for line in found.text.splitlines()]
    line = next((line for line in lines if line), "")[:_LONGEST_QUERY]
    return question.text if found.stop is Stop.REFUSAL or not line else line


def conversation(question: Question) -> str:
    """Return what was said before a question, for a model to read; "" for a first one."""
    if not question.history:
        return ""
    said = "\n".join(
        f"{role}: {text[:_LONGEST_MESSAGE]}"
        for role, text in question.history[-_MOST_MESSAGES:]
    )
    return f"What was said before:\n{said}\n\n"
