"""A question within a conversation, and the query that a model makes of it."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass.answer.prompts import REWRITE
from secondpass.answer.types import Turn
from secondpass.errors import LLMError
from secondpass.llm import LLM, Prompt, Stop
from secondpass.rerank.llm.marks import harmless

MOST_TURNS = 10
"""How many turns of a conversation are read: the last."""
_LONGEST = 2000


def within(query: str, history: Sequence[Turn]) -> str:
    """Return a question with what was said before it, each turn's first 2,000 characters."""
    if not history:
        return query
    said = (f"{turn.role}: {harmless(turn.text[:_LONGEST])}" for turn in history[-MOST_TURNS:])
    return "\n".join(["What was said before:", *said, "", f"Now: {query}"])


def rewritten(
    llm: LLM, query: str, history: Sequence[Turn], *, system: str = REWRITE
) -> tuple[str, int, str | None]:
    """Return the query to search for, the tokens it took and what went wrong.

    `system` tells the model how.
    """
    try:
        found = llm.complete(Prompt(system, within(query, history), max_tokens=80))
    except LLMError as error:
        return query, 0, f"the query was not rewritten: {error}"
    lines = [line.strip().strip("\"'") for line in found.text.splitlines()]
    line = next((line for line in lines if line), "")[:400]
    if found.stop is Stop.REFUSAL or not line:
        return query, found.tokens, "the query was not rewritten: the model gave none"
    return line, found.tokens, None
