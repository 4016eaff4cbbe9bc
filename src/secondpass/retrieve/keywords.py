"""Keyword analysis: the words of a text that keyword search stores and looks for.

Index and query use the same rule. Text is normalized by NFKC and full case folding; ignorable
characters (soft hyphens, zero-width characters, variation selectors, controls of direction),
the marks that `_is_dropped` names and the accents of Greek are removed; decimal digits of all
scripts become ASCII digits. Then it is split at everything that is not a letter, a digit or a
mark. Scripts that are written without spaces between words, and Hangul, whose words carry
particles, are stored as single characters and pairs of neighbors, and looked for as pairs.

Stemming, stop words and the folding of Latin accents come after, in the engine: stemmers need
the accents. Positions are always those of the original text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from secondpass.inference.unicode import clean


@dataclass(frozen=True, slots=True)
class Keyword:
    """A word as the index stores it, with its [start, end) in characters of the original."""

    text: str
    start: int
    end: int


def find_keywords(text: str) -> list[Keyword]:
    """Return the words of a text that the index stores, in order, before stemming."""
    return _keywords(text, query=False)


def find_query_keywords(query: str) -> list[Keyword]:
    """Return the words that a query looks for, in order, before stemming and stop words."""
    return _keywords(query, query=True)


def keyword_text(text: str) -> str:
    """Return the words of `find_keywords`, separated by spaces."""
    if text.isascii():
        return " ".join(_ASCII_WORD.findall(text.lower()))
    return " ".join(word.text for word in find_keywords(text))


def normalize(text: str) -> str:
    """Return a text as keyword search compares it, before it is split into words."""
    return "".join(_fold(text[start:end]) for start, end in _clusters(text, 0, len(text)))


# The property Default_Ignorable_Code_Point of Unicode 16, and the tatweel of Arabic.
_IGNORED = re.compile(
    "[\u00ad\u034f\u0640\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

# Letters that look the same: apostrophes that are letters, yeh and kaf of Persian.
_SAME_LOOK = str.maketrans(
    {**dict.fromkeys("\u02b9\u02bb\u02bc\u02bd", "'"), "\u06cc": "\u064a", "\u06a9": "\u0643"}
)

_HANGUL = "\u1100-\u11ff\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb"
_PAIRED = (
    # Han, Kana, Bopomofo, Yi, Tangut, Nushu.
    "[\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303c\u3041-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uf900-\ufaff\U00016fe0-\U0001b2ff"
    "\U00020000-\U0003fffd"
    # Thai, Lao, Myanmar, Khmer, Tai, Buginese, Balinese, Javanese.
    "\u0e01-\u0e4e\u0e81-\u0edf\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a00-\u1aaf\u1b00-\u1b7f"
    f"\ua980-\ua9ff\uaa60-\uaadf{_HANGUL}]"
)
_SPACED = re.compile(f"[{_HANGUL}]")
_LINE_BREAKS = ("\n", "\r\n")

_ASCII_WORD = re.compile("[0-9a-z]+", re.IGNORECASE | re.ASCII)
# All but the rest of ASCII: naming everything above takes milliseconds to compile.
_RUN = re.compile("[^\0-/:-@[-`{-\x7f]+")
# Vowels and finals of Hangul, and the vowels of Kirat Rai, combine with the letter before.
_COMBINING_LETTER = re.compile("[\u1160-\u11ff\ud7b0-\ud7fb\U00016d63\U00016d67]")

_Kind = Literal["word", "pairs"]


@dataclass(slots=True)
class _Segment:
    """Neighboring letters of one kind: [text, start, end) each, marks with their letter.

    `base` is the number of letters before superscripts at the end, as in "m²".
    """

    kind: _Kind
    letters: list[tuple[str, int, int]]
    base: int = 0


def _keywords(text: str, *, query: bool) -> list[Keyword]:
    if text.isascii():
        return [Keyword(m[0].lower(), m.start(), m.end()) for m in _ASCII_WORD.finditer(text)]
    text_ = clean(text)
    # A pair of surrogates is one character of the text that is stored.
    found = []
    for segment in _join_lines(text_, _segments(text_)):
        letters = segment.letters
        if segment.kind == "word":
            found.append(_keyword(letters))
            if not query and 0 < segment.base < len(letters):
                found.append(_keyword(letters[: segment.base]))
            continue
        for position, letter in enumerate(letters):
            if not query or len(letters) == 1:
                found.append(Keyword(*letter))
            if position + 1 < len(letters):
                found.append(_keyword(letters[position : position + 2]))
    return found


def _keyword(letters: Sequence[tuple[str, int, int]]) -> Keyword:
    return Keyword("".join(letter for letter, _, _ in letters), letters[0][1], letters[-1][2])


def _join_lines(text: str, segments: Iterator[_Segment]) -> Iterator[_Segment]:
    """Join segments around a line break, where the script has no spaces between words."""
    last: _Segment | None = None
    for segment in segments:
        if last is not None and last.kind == segment.kind == "pairs":
            before, after = last.letters[-1], segment.letters[0]
            between = text[before[2] : after[1]]
            if between in _LINE_BREAKS and not _SPACED.match(before[0]):
                last.letters += segment.letters
                continue
        if last is not None:
            yield last
        last = segment
    if last is not None:
        yield last


def _segments(text: str) -> Iterator[_Segment]:
    for run in _RUN.finditer(text):
        if run[0].isascii():
            yield _Segment("word", [(run[0].lower(), run.start(), run.end())])
            continue
        segment: _Segment | None = None
        for start, end in _clusters(text, run.start(), run.end()):
            folded = _fold(text[start:end])
            if not folded:
                continue
            role = _role(text[start])
            if segment is not None and role == "symbol":
                yield segment
                segment = None
            for letter in folded:
                kind = _kind(letter)
                if segment is not None and (kind is None or kind not in ("mark", segment.kind)):
                    yield segment
                    segment = None
                if kind is None:
                    continue
                if segment is None:
                    segment = _Segment("pairs" if kind == "pairs" else "word", [])
                if kind == "mark" and segment.letters:
                    previous, first, _ = segment.letters[-1]
                    segment.letters[-1] = (previous + letter, first, end)
                else:
                    segment.letters.append((letter, start, end))
                if role != "superscript":
                    segment.base = len(segment.letters)
            if segment is not None and role == "symbol":
                yield segment
                segment = None
        if segment is not None:
            yield segment


def _clusters(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of each character with what combines with it."""
    first = start
    for position in range(start + 1, end):
        if not _combines(text[position]):
            yield first, position
            first = position
    if first < end:
        yield first, end


@lru_cache(1 << 16)
def _combines(character: str) -> bool:
    """Whether a character may combine with the one before it, or is ignored."""
    if character.isascii():
        return False
    first = unicodedata.normalize("NFKC", character)[:1]
    return (
        unicodedata.category(first)[0] == "M"
        or _COMBINING_LETTER.match(first) is not None
        or _IGNORED.match(character) is not None
    )


@lru_cache(1 << 16)
def _fold(cluster: str) -> str:
    """Return a character with its marks as it is compared."""
    before = None
    while cluster != before:
        before = cluster
        cluster = _IGNORED.sub("", cluster)
        cluster = unicodedata.normalize("NFKC", cluster).casefold().translate(_SAME_LOOK)
        cluster = unicodedata.normalize("NFC", "".join(map(_fold_character, cluster)))
    return cluster


def _fold_character(character: str) -> str:
    if character.isascii():
        return character
    if "\u0370" <= character <= "\u03ff" or "\u1f00" <= character <= "\u1fff":
        decomposed = unicodedata.normalize("NFD", character)
        return "".join(c for c in decomposed if not _is_dropped(c))
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.decimal(character))
    return "" if _is_dropped(character) else character


def _is_dropped(character: str) -> bool:
    """Whether a mark is left out: accents outside of letters, vowel points, enclosing marks.

    Those of Hebrew, Arabic and Syriac have combining classes 10 to 36, those above, below and
    beside any letter 200 and up. Vowels, tones and viramas of other scripts are kept.
    """
    kind = unicodedata.combining(character)
    return kind >= 200 or 10 <= kind <= 36 or unicodedata.category(character) == "Me"


@lru_cache(1 << 16)
def _kind(character: str) -> _Kind | Literal["mark"] | None:
    """Return what a folded character is part of; None for what separates words."""
    if unicodedata.category(character)[0] == "M":
        return "mark"
    if not character.isalnum():
        return None
    return "pairs" if not character.isascii() and _paired().match(character) else "word"


@cache
def _paired() -> re.Pattern[str]:
    # Compiled for the first character that needs it, because that takes milliseconds.
    return re.compile(_PAIRED)


@lru_cache(1 << 16)
def _role(character: str) -> Literal["symbol", "superscript", "letter"]:
    """Return whether an original character is apart from its neighbors: "Word™", "Tesla¹"."""
    category = unicodedata.category(character)
    if category[0] == "S":
        return "symbol"
    is_super = category == "No" and unicodedata.decomposition(character)[:7] == "<super>"
    return "superscript" if is_super else "letter"
