"""A stand-in for a language model that judges documents by the words of the query."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass

from secondpass.llm import LLM, Completion, Prompt

_MARK = re.compile(r'</document mark="(\w+)">')
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Block:
    """One document of a prompt."""

    id: str
    text: str


class OverlapLLM(LLM):
    """Answers the built-in prompts of all rerankers, by how many query words a text has.

    It reads them as a language model does, from the text of the prompt alone, and needs
    neither a network nor a key. Documents with equally many words stand in an order that
    depends on their texts only. `logprobs` says whether it gives log-probabilities.
    """

    def __init__(self, *, name: str = "overlap", logprobs: bool = False) -> None:
        self._name, self._logprobs = name, logprobs

    @property
    def name(self) -> str:
        """The name that was given."""
        return self._name

    @property
    def offers_logprobs(self) -> bool:
        """What was said about log-probabilities."""
        return self._logprobs

    def complete(self, prompt: Prompt) -> Completion:
        """Return an answer in the form that the prompt asks for."""
        blocks, query = self.blocks(prompt), asked(prompt)
        ordered = self.order(blocks, query, prompt)
        worth = overlap(ordered[0].text, query) if ordered else 0.0
        logprobs: tuple[dict[str, float], ...] = ()
        if "Yes or No" in prompt.user:
            text = "Yes" if worth > 0.5 else "No"
            if self._logprobs and prompt.top_logprobs:
                odds = 8 * worth - 4
                logprobs = (
                    {"Yes": -math.log1p(math.exp(-odds)), "No": -math.log1p(math.exp(odds))},
                )
        elif '"grade"' in prompt.user:
            text = json.dumps({"grade": round(4 * worth)})
        elif '"best"' in prompt.user:
            text = json.dumps({"best": ordered[0].id if ordered else ""})
        else:
            text = json.dumps({"order": [block.id for block in ordered]})
        words = len(prompt.system.split()) + len(prompt.user.split())
        return Completion(
            text, input_tokens=words, output_tokens=len(text.split()), logprobs=logprobs
        )

    def order(self, blocks: list[Block], query: str, prompt: Prompt) -> list[Block]:
        """Return the documents, best first."""
        return sorted(blocks, key=lambda b: overlap(b.text, query), reverse=True)

    def blocks(self, prompt: Prompt) -> list[Block]:
        """Return the documents between the marks that the system text names."""
        mark = _MARK.search(prompt.system)
        if mark is None:
            return []
        found = re.finditer(
            rf'<document id="(\w+)" mark="{mark[1]}">\n(.*?)\n</document mark="{mark[1]}">',
            prompt.user,
            re.DOTALL,
        )
        return [Block(match[1], match[2]) for match in found]


def asked(prompt: Prompt) -> str:
    """Return the query of a built-in prompt."""
    return prompt.user.removeprefix("Query: ").partition("\n\n")[0]


def overlap(text: str, query: str) -> float:
    """Return the share of the query's words in a text, and less than 0.001 for its own sake."""
    wanted = set(_WORD.findall(query.lower()))
    found = wanted & set(_WORD.findall(text.lower()))
    own = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")
    return 0.999 * len(found) / max(1, len(wanted)) + 0.001 * own / 2**48
