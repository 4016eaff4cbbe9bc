"""What each word of a query adds to a passage's BM25."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.inference.unicode import clean
from secondpass.retrieve.lance.stopwords import NO_LANGUAGE
from secondpass.retrieve.store_protocol import FirstStage

# What the engine's tokeniser for languages with a stemmer takes for one word.
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class TermScore:
    """A word of the query, how often it is there, and what that adds to the BM25.

    `indexed` is False where no passage of the index has the word: a stop word, or unknown.
    """

    word: str
    count: int
    score: float
    indexed: bool = True


def words(text: str, language: str) -> list[str]:
    """Return the words of a text in order, in lower case, before stemming and stop words.

    In an index without a language, pieces between spaces: the engine cuts them further.
    """
    lowered = clean(text).lower()
    return lowered.split() if language == NO_LANGUAGE else _WORD.findall(lowered)


def term_scores(
    store: FirstStage, query: str, ids: Sequence[str]
) -> dict[str, list[TermScore]]:
    """Return what each distinct word of the query adds to the BM25 of each passage.

    BM25 is a sum over words, so the engine itself is asked for one word at a time: its
    stemming, stop words and statistics are those of any search. The scores of a passage
    sum to its BM25 up to rounding in single precision.
    """
    counts: dict[str, int] = {}
    for word in words(query, store.settings.language):
        counts[word] = counts.get(word, 0) + 1
    found: dict[str, list[TermScore]] = {name: [] for name in ids}
    for word, count in counts.items():
        scores = {hit.id: hit.score for hit in store.bm25(word, len(ids), ids=ids)}
        indexed = bool(scores) or bool(store.bm25(word, 1))
        for name, terms in found.items():
            terms.append(TermScore(word, count, count * scores.get(name, 0.0), indexed))
    return found
