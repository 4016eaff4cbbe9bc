"""Who is asked for the text of an answer, and the prompt that they get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.answer.prompt import ends_first
from secondpass.answer.query_rewriting import within
from secondpass.answer.types import Passage, Turn
from secondpass.llm import LLM, Prompt
from secondpass.rerank.llm.marks import Marker
from secondpass.rerank.llm.prompts import PromptTemplate


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked for the text of an answer, and how."""

    llm: LLM
    template: PromptTemplate
    max_tokens: int
    history: tuple[Turn, ...]
    instructions: str

    def prompt(self, query: str, passages: Sequence[Passage]) -> Prompt:
        """Return the prompt, with the best passages at both ends."""
        texts = [f"{p.number}. {p.title or ''}\n{p.text}" for p in ends_first(passages)]
        asked = within(query, self.history)
        marked = Marker().mark(f"{asked}\n{self.instructions}", texts)
        system, user = self.template.fill(
            {
                "query": asked,
                "documents": marked.text,
                "ids": ", ".join(marked.ids),
                "count": str(len(texts)),
                "mark": marked.mark,
            }
        )
        if self.instructions.strip():
            system = f"{system}\n\n{self.instructions}"
        return Prompt(system, user, max_tokens=self.max_tokens)
