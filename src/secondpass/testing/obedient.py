"""A stand-in for a language model that does what plain instructions say."""

from __future__ import annotations

import re

from secondpass.llm import Prompt
from secondpass.testing.overlap import Block, OverlapLLM

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
