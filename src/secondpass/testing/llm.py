"""A language model for tests: it answers from a script and remembers what it was asked.

A stand-in for a language model that judges documents by the words of the query.

A stand-in for a language model that does what plain instructions say.
"""

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

    `prompts` are those that were asked, in order. A text counts a token for each word. After
    the last answer of a list comes an `InputError`. Streams give a word at a time.
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
        """What was said about log-probabilities."""
        return self._logprobs

    def complete(self, prompt: Prompt) -> Completion:
        """Return, or raise, what the script has next."""
        with self._lock:
            place = len(self.prompts)
            self.prompts.append(prompt)
        if callable(self._script):
            answer = self._script(prompt)
        elif place < len(self._script):
            answer = self._script[place]
        else:
            raise InputError(
                f"The script has {len(self._script)} answers, and one more is asked"
            )
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Completion):
            return answer
        prompt_query = len(prompt.system.split()) + len(prompt.user.split())
        return Completion(answer, input_tokens=prompt_query, output_tokens=len(answer.split()))

    def stream(self, prompt: Prompt) -> TextStream:
        """Return the next answer, a word at a time."""

        def pieces() -> Iterator[str | Completion]:
            found = self.complete(prompt)
            yield from re.findall(r"\s*\S+|\s+$", found.text)
            yield found

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
        blocks, query = self.blocks(prompt), prompt_query(prompt)
        ordered = self.order(blocks, query, prompt)
        worth = word_overlap(ordered[0].text, query) if ordered else 0.0
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
        return sorted(blocks, key=lambda b: word_overlap(b.text, query), reverse=True)

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


def prompt_query(prompt: Prompt) -> str:
    """Return the query of a built-in prompt."""
    return prompt.user.removeprefix("Query: ").partition("\n\n")[0]


def word_overlap(text: str, query: str) -> float:
    """Return the share of the query's words in a text, and less than 0.001 for its own sake."""
    wanted = set(_WORD.findall(query.lower()))
    found = wanted & set(_WORD.findall(text.lower()))
    own = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")
    return 0.999 * len(found) / max(1, len(wanted)) + 0.001 * own / 2**48


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
    """Orders documents as `OverlapLLM` does, and then does what it finds it was told.

    It believes what the system text says about where documents begin and end: instructions
    inside of them it leaves alone, others it follows. A system text that says nothing about
    it makes all text an instruction, and so does a special token of a chat template, which
    starts a new turn. `gullible=True` follows instructions wherever they stand, as some
    real models do. It sees what invisible characters spell.
    """

    def __init__(self, *, gullible: bool = False) -> None:
        super().__init__(name="gullible" if gullible else "obedient")
        self._gullible = gullible

    def blocks(self, prompt: Prompt) -> list[Block]:
        """Return the documents by marks, by fixed tags, or by numbers in brackets."""
        if (found := super().blocks(prompt)) or 'mark="' in prompt.system:
            return found
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
        # A number that comes twice is the later text, as a reader would have it.
        return list({block.id: block for block in blocks}.values())

    def order(self, blocks: list[Block], query: str, prompt: Prompt) -> list[Block]:
        """Return the documents, best first, after all instructions were followed."""
        ordered = super().order(blocks, query, prompt)
        outside = prompt.user
        for block in blocks:
            inside = block.text
            if self._trusted(prompt):
                # What a special token starts is a turn of its own.
                turn = _SPECIAL.search(inside)
                inside = "" if turn is None else inside[turn.end() :]
            outside = outside.replace(block.text, "\n")
            ordered = _follow(inside, block.id, ordered)
        return _follow(outside, None, ordered)

    def _trusted(self, prompt: Prompt) -> bool:
        return "</document" in prompt.system and not self._gullible


def _follow(text: str, own: str | None, ordered: list[Block]) -> list[Block]:
    text = _INVISIBLE.sub("", text).translate(_TAGS)
    for found in _LAST.finditer(text):
        name = found[1] or found[2]
        ordered = [b for b in ordered if b.id != name] + [b for b in ordered if b.id == name]
    if _REVERSE.search(text):
        ordered = ordered[::-1]
    for answer in _ANSWER.finditer(text):
        names = [n for n in re.findall(r"\w+", answer[1]) if any(b.id == n for b in ordered)]
        ordered = sorted(
            ordered, key=lambda b: names.index(b.id) if b.id in names else len(names)
        )
    for found in _FIRST.finditer(text):
        name = own if found[1] else found[2]
        ordered = [b for b in ordered if b.id == name] + [b for b in ordered if b.id != name]
    return ordered
