"""Documents within marks that nobody who wrote one could know.

A document is data, but a language model reads it in the same stream as its instructions.
So each stands between two lines that hold a random word, under an id that is random too:
a text can neither end its own block, nor begin another, nor name itself or a rival. What
could be taken for such a line, for a chat template's special token or for nothing at all
(invisible characters) is changed. The idea is that of Hines et al., "Defending Against
Indirect Prompt Injection Attacks With Spotlighting", 2024.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Neither vowels, so that no word comes about, nor what looks like something else.
_LETTERS = "bcdfghjkmnpqrstvwxz"
_SIGNS = _LETTERS + "23456789"
_ID_LENGTH, _MARK_LENGTH = 4, 10

_LINE = re.compile(r"<(?=\s*/?\s*document)", re.IGNORECASE)
_SPECIAL = re.compile(
    r"<(?=\|)|\[(?=/?INST\])|<(?=<SYS>>)|<(?=</SYS>>)|<(?=/?(?:s|bos|eos|start_of_turn|"
    r"end_of_turn|im_start|im_end|system|assistant|user|think)\b)",
    re.IGNORECASE,
)

# Joiners are part of how some scripts are written.
_KEPT = frozenset("\n\t\u200c\u200d")


@dataclass(frozen=True, slots=True)
class Marked:
    """Documents ready for a prompt: `ids` in the order of the texts."""

    ids: tuple[str, ...]
    mark: str
    text: str


class Marker:
    """Gives ids and marks that depend on a secret, on the query and on the texts.

    The same question gives the same prompt as long as the secret stays, so answers can be
    compared and cached; without the secret nobody can tell it beforehand. `secret` is new
    for each marker unless it is given.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secrets.token_bytes(16) if secret is None else secret

    def mark(self, query: str, texts: Sequence[str]) -> Marked:
        """Return the texts within marks; no id and no mark stands in any of them."""
        seed = hashlib.blake2b(key=self._secret[:64], digest_size=32)
        for text in (query, *texts):
            data = text.encode("utf-8", "surrogatepass")
            seed.update(len(data).to_bytes(8, "little") + data)
        words = _words(seed.digest())
        shown = [harmless(text) for text in texts]
        everything = "\n".join([query, *shown]).lower()
        ids: list[str] = []
        while len(ids) < len(texts):
            word = next(words)[:_ID_LENGTH]
            if word not in ids and word not in everything:
                ids.append(word)
        mark = next(w for w in words if w not in everything)[:_MARK_LENGTH]
        blocks = (
            f'<document id="{name}" mark="{mark}">\n{text}\n</document mark="{mark}">'
            for name, text in zip(ids, shown, strict=True)
        )
        return Marked(tuple(ids), mark, "\n".join(blocks))


def harmless(text: str) -> str:
    """Return a text without invisible characters and without lines that look like marks."""
    seen = "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in ("Cc", "Cf"))
    return _SPECIAL.sub(_apart, _LINE.sub("\u2039", seen))


def _apart(found: re.Match[str]) -> str:
    return f"{found[0]} "


def _words(seed: bytes) -> Iterator[str]:
    """Yield words of random signs that begin with a letter, without end."""
    number = 0
    while True:
        block = hashlib.blake2b(seed + number.to_bytes(8, "little"), digest_size=32).digest()
        drawn = "".join(_SIGNS[b % len(_SIGNS)] for b in block[1 : 1 + _MARK_LENGTH])
        yield _LETTERS[block[0] % len(_LETTERS)] + drawn[1:]
        number += 1
