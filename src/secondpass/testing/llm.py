"""Fakes of language models: scripted, by word overlap, and following injected instructions."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError
from secondpass.llm import LLM, Completion, Prompt, TextStream

Answer = str | Completion | Exception
"""A text, a whole completion, or an error to raise."""


class ScriptedLLM(LLM):
    """Gives the answers of a script in turn, or those of a function of the prompt.

    `prompts` are those that were received, in order. A text counts one token a word. After the
    last answer of a list comes an `InputError`. Streams give a word at a time.
    """

    def __init__(
        self,
        script: Sequence[Answer] | Callable[[Prompt], Answer],
        *,
        name: str = "scripted",
        offers_logprobs: bool = False,
    ) -> None:
        self._script, self._name, self._logprobs = script, name, offers_logprobs
        self._lock = threading.Lock()
        self.prompts: list[Prompt] = []

    @property
    def name(self) -> str:
        """The name that was given."""
        return self._name

    @property
    def offers_logprobs(self) -> bool:
        """Whether log-probabilities can be requested, as given."""
        return self._logprobs

    def complete(self, prompt: Prompt) -> Completion:
        """Return or raise the next answer of the script."""
        with self._lock:
            number = len(self.prompts)
            self.prompts.append(prompt)
        if callable(self._script):
            answer = self._script(prompt)
        elif number < len(self._script):
            answer = self._script[number]
        else:
            raise InputError(f"The script has only {len(self._script)} answers")
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Completion):
            return answer
        words = len(prompt.system.split()) + len(prompt.user.split())
        return Completion(answer, input_tokens=words, output_tokens=len(answer.split()))

    def stream(self, prompt: Prompt) -> TextStream:
        """Return the next answer, a word at a time."""

        def pieces() -> Iterator[str | Completion]:
            completion = self.complete(prompt)
            yield from re.findall(r"\s*\S+|\s+$", completion.text)
            yield completion

        return TextStream(pieces())


_MARK = re.compile(r'</document mark="(\w+)">')
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Block:
    """One document of a prompt."""

    id: str
    text: str


class OverlapLLM(LLM):
    """Answers the built-in prompts of all rerankers, by how many query words a text has.

    It knows only the text of the prompt, as a language model does. Documents with equally many
    words are in an order that depends on their texts only. `logprobs` is whether it returns
    log-probabilities.
    """

    def __init__(self, *, name: str = "overlap", logprobs: bool = False) -> None:
        self._name, self._logprobs = name, logprobs

    @property
    def name(self) -> str:
        """The name that was given."""
        return self._name

    @property
    def offers_logprobs(self) -> bool:
        """Whether log-probabilities can be requested, as given."""
        return self._logprobs

    def complete(self, prompt: Prompt) -> Completion:
        """Return an answer in the form that the prompt asks for."""
        blocks, query = self.blocks(prompt), prompt_query(prompt)
        ordered = self.order(blocks, query, prompt)
        relevance = word_overlap(ordered[0].text, query) if ordered else 0.0
        logprobs: tuple[dict[str, float], ...] = ()
        if "Yes or No" in prompt.user:
            text = "Yes" if relevance > 0.5 else "No"
            if self._logprobs and prompt.top_logprobs:
                odds = 8 * relevance - 4
                logprobs = (
                    {"Yes": -math.log1p(math.exp(-odds)), "No": -math.log1p(math.exp(odds))},
                )
        elif '"grade"' in prompt.user:
            text = json.dumps({"grade": round(4 * relevance)})
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
        return sorted(blocks, key=lambda b: word_overlap(b.text, query), reverse=True)

    def blocks(self, prompt: Prompt) -> list[Block]:
        """Return the documents between the delimiters that the system text describes."""
        mark = _MARK.search(prompt.system)
        if mark is None:
            return []
        blocks = re.finditer(
            rf'<document id="(\w+)" mark="{mark[1]}">\n(.*?)\n</document mark="{mark[1]}">',
            prompt.user,
            re.DOTALL,
        )
        return [Block(match[1], match[2]) for match in blocks]


def prompt_query(prompt: Prompt) -> str:
    """Return the query of a built-in prompt."""
    return prompt.user.removeprefix("Query: ").partition("\n\n")[0]


def word_overlap(text: str, query: str) -> float:
    """Return the share of the query's words in a text, and a tie-breaker below 0.001."""
    words = set(_WORD.findall(query.lower()))
    common = words & set(_WORD.findall(text.lower()))
    tie_breaker = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")
    return 0.999 * len(common) / max(1, len(words)) + 0.001 * tie_breaker / 2**48


_FIXED = "</document>"
_PLAIN = re.compile(r"^\[(\d+)\] ", re.MULTILINE)
_SPECIAL = re.compile(
    r"<\|im_(?:start|end)\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>"
)
_NAME = r"(?:document|passage)s?\s*\[?(\w+)\]?"
_FIRST = re.compile(
    rf"\b(?:rank|put|place|list)\s+(?:(this)\s+(?:document|passage)|{_NAME})\s+"
    r"(?:first|at the top)\b",
    re.IGNORECASE,
)
_LAST = re.compile(
    rf"\b(?:(?:rank|put|place)\s+{_NAME}\s+(?:last|at the bottom)|ignore\s+{_NAME})",
    re.IGNORECASE,
)
_REVERSE = re.compile(r"\breverse the order\b", re.IGNORECASE)
_ANSWER = re.compile(
    r'(?:answer (?:is|with)|output only)\W*(?:"order")?([^\n]*)', re.IGNORECASE
)
_INVISIBLE = re.compile(r"[\u200b\u202c\u202e]")
_TAGS = {0xE0000 + code: code for code in range(32, 127)}


class ObedientLLM(OverlapLLM):
    """Orders documents as `OverlapLLM` does, and then follows the instructions that it finds.

    It trusts the system text about where documents begin and end: instructions inside of them
    are ignored, others followed. Without such a system text all text is an instruction, and so
    is what follows a special token of a chat template, which starts a new turn. `gullible=True`
    follows instructions anywhere, as some real models do. It reads invisible characters.
    """

    def __init__(self, *, gullible: bool = False) -> None:
        super().__init__(name="gullible" if gullible else "obedient")
        self._gullible = gullible

    def blocks(self, prompt: Prompt) -> list[Block]:
        """Return the documents by delimiters, by fixed tags, or by numbers in brackets."""
        if (blocks := super().blocks(prompt)) or 'mark="' in prompt.system:
            return blocks
        if _FIXED in prompt.system:
            tags = re.finditer(
                r'<document id="(\w+)">\n(.*?)\n?</document>', prompt.user, re.DOTALL
            )
            return list({m[1]: Block(m[1], m[2]) for m in tags}.values())
        starts = [*_PLAIN.finditer(prompt.user)]
        ends = [*(m.start() for m in starts[1:]), prompt.user.rfind("\n\nThe query once more")]
        blocks = [
            Block(m[1], prompt.user[m.end() : end]) for m, end in zip(starts, ends, strict=True)
        ]
        # Of a number that occurs twice the later text counts.
        return list({block.id: block for block in blocks}.values())

    def order(self, blocks: list[Block], query: str, prompt: Prompt) -> list[Block]:
        """Return the documents, best first, with all instructions followed."""
        ordered = super().order(blocks, query, prompt)
        outside = prompt.user
        for block in blocks:
            inside = block.text
            if self._trusted(prompt):
                # A special token starts a turn of its own.
                turn = _SPECIAL.search(inside)
                inside = "" if turn is None else inside[turn.end() :]
            outside = outside.replace(block.text, "\n")
            ordered = _follow(inside, block.id, ordered)
        return _follow(outside, None, ordered)

    def _trusted(self, prompt: Prompt) -> bool:
        return "</document" in prompt.system and not self._gullible


def _follow(text: str, own: str | None, ordered: list[Block]) -> list[Block]:
    text = _INVISIBLE.sub("", text).translate(_TAGS)
    for match in _LAST.finditer(text):
        name = match[1] or match[2]
        ordered = [b for b in ordered if b.id != name] + [b for b in ordered if b.id == name]
    if _REVERSE.search(text):
        ordered = ordered[::-1]
    for answer in _ANSWER.finditer(text):
        names = [n for n in re.findall(r"\w+", answer[1]) if any(b.id == n for b in ordered)]
        ordered = sorted(
            ordered, key=lambda b: names.index(b.id) if b.id in names else len(names)
        )
    for match in _FIRST.finditer(text):
        name = own if match[1] else match[2]
        ordered = [b for b in ordered if b.id == name] + [b for b in ordered if b.id != name]
    return ordered
