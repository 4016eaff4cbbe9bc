"""The words of a text, without what does not change its meaning."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")


def wording(text: str) -> str:
    """Return the words in order, one space between: case, punctuation and spacing are gone.

    Texts with the same wording are near copies. A text without a word is returned as it
    is, without the space around it.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(_WORD.findall(folded))
    return words if words else text.strip()
