"""Whether a query is a question, by its words."""

from __future__ import annotations

import re
from itertools import islice

QUESTION_WORDS = frozenset(
    ["what", "who", "whom", "whose", "when", "where", "which", "why", "how"]
)
AUXILIARY_VERBS = frozenset(
    (
        *("is", "are", "was", "were", "am", "do", "does", "did", "has", "have", "had"),
        *("can", "could", "shall", "should", "will", "would", "may", "might", "must"),
    )
)
# Of Latin, Chinese and Arabic script.
_MARKS = ("?", "\N{FULLWIDTH QUESTION MARK}", "\N{ARABIC QUESTION MARK}")
_FIRST_WORDS = 3
_WORD = re.compile(r"[^\W\d_]+")


def is_question(query: str) -> bool:
    """Return whether a query ends with a question mark, or begins as an English question.

    That is one with a word such as "who" among its first three, or a verb such as "does" as the
    first.
    """
    words = [found.group().lower() for found in islice(_WORD.finditer(query), _FIRST_WORDS)]
    if query.rstrip().endswith(_MARKS) or not QUESTION_WORDS.isdisjoint(words):
        return True
    return not AUXILIARY_VERBS.isdisjoint(words[:1])
