"""Query rewriting: a language model turns a question, with its history, into a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from secondpass.answer.prompt import format_conversation
from secondpass.answer.types import Turn
from secondpass.errors import LLMError
from secondpass.llm import LLM, Prompt, Stop

REWRITE_PROMPT = (
    "You turn a question into a query for a search engine: keep names, numbers and technical "
    "words, leave out politeness, write out what pronouns stand for where you can tell. "
    "Answer with the query alone, on one line."
)
_MAX_QUERY_TOKENS = 80
_MAX_QUERY_CHARACTERS = 400


class RewrittenQuery(NamedTuple):
    """The query to search for, the tokens it took, and what went wrong, if anything did."""

    query: str
    tokens: int = 0
    problem: str | None = None


def rewrite_query(
    llm: LLM, query: str, history: Sequence[Turn], *, system_prompt: str = REWRITE_PROMPT
) -> RewrittenQuery:
    """Rewrite a question; where the model fails, return the question and the problem."""
    prompt = Prompt(
        system_prompt, format_conversation(query, history), max_tokens=_MAX_QUERY_TOKENS
    )
    try:
        completion = llm.complete(prompt)
    except LLMError as error:
        return RewrittenQuery(query, problem=f"the query was not rewritten: {error}")
    lines = [line.strip().strip("\"'") for line in completion.text.splitlines()]
    rewritten = next((line for line in lines if line), "")[:_MAX_QUERY_CHARACTERS]
    if completion.stop is Stop.REFUSAL or not rewritten:
        problem = "the query was not rewritten: the model returned none"
        return RewrittenQuery(query, completion.tokens, problem)
    return RewrittenQuery(rewritten, completion.tokens)
