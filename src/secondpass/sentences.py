"""Sentence splitting by rules, with character offsets."""

from __future__ import annotations

import re

# Quantifiers are possessive and start only behind an end mark, so that matching is linear.
_BOUNDARY = re.compile(
    # An end mark, closing quotes or brackets, and white space.
    "(?<=[.!?\u2026\u0964\u061f\u06d4])[\"'\u201d\u2019\u00bb)\\]]*+\\s++"
    # CJK end marks need no white space; "\uff01\uff1f" ends one sentence, not two.
    "|(?<=[\u3002\uff01\uff1f\uff61])[\u300d\u300f\u201d\u2019\uff09\u3011\u300b]*+"
    "(?![\u3002\uff01\uff1f\uff61])"
    "|[\r\n\u2028\u2029]++"
)
_LINE_BREAK = re.compile("[\r\n\u2028\u2029]")
_CJK_ENDS = "\u3002\uff01\uff1f\uff61"
_OPENING = "\"'\u201c\u2018\u00ab(["
_ABBREVIATION = re.compile(
    r"\b(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|Rev|Gen|Sgt|Capt|Gov|Sen|St|Mt|vs|etc|e\.g|i\.e|cf|al"
    r"|No|Nr|Fig|Figs|Eq|Sec|Vol|pp|p|approx|ca|c)\.\Z"
)
_LONGEST_ABBREVIATION = 12


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return [start, end) of each sentence in characters (code points), in order.

    A sentence ends at a line break, after a CJK end mark, or after another end mark that
    white space follows, unless the next word is in lower case or the mark belongs to an
    abbreviation such as "Dr." or to an initial. The spans do not overlap and hold every
    character that is not white space; white space around a sentence belongs to none. Takes
    time linear in the length of the text.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        if _ends_sentence(text, match):
            _append_trimmed(spans, text, start, match.end())
            start = match.end()
    _append_trimmed(spans, text, start, len(text))
    return spans


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    mark, end = match.span()
    last = text[mark - 1]
    if last in _CJK_ENDS or _LINE_BREAK.search(text, mark, end):
        return True
    following = text[end : end + 3].lstrip(_OPENING)
    if following[:1].islower():
        return False
    if last != ".":
        return True
    return not _ABBREVIATION.search(text[max(0, mark - _LONGEST_ABBREVIATION) : mark])


def _append_trimmed(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    stripped = piece.strip()
    if stripped:
        first = start + len(piece) - len(piece.lstrip())
        spans.append((first, first + len(stripped)))
