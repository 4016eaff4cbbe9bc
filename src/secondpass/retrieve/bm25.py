"""What BM25 a changed passage would have, without indexing it.

What each word of a query adds to a passage's BM25.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance import schema as r
from secondpass.retrieve.backends.lance import table as t
from secondpass.retrieve.backends.lance.table import NO_LANGUAGE
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


K1, B = 1.2, 0.75
_NEAR = 2e-3


class Analyzer:
    """Which words of some texts the engine takes for which words of a query.

    Made by the engine itself, with the index's language: a table in memory has each
    distinct word as a row, and every row that a query word finds is the same term.
    """

    def __init__(self, language: str, texts: Iterable[str], asked: Iterable[str]) -> None:
        import pyarrow as pa
        from lancedb.query import MatchQuery

        self.language = language
        match: Any = MatchQuery
        known = sorted({word for text in texts for word in words(text, language)})
        column = pa.table({r.SEARCH: pa.array(known, pa.string())})
        table = t.load().connect("memory://").create_table("words", column)
        t.index_text(table, language)

        def found(text: str) -> set[str]:
            search = table.search(match(text, r.SEARCH), query_type="fts")
            return set(search.limit(len(known)).to_arrow().column(r.SEARCH).to_pylist())

        self.same = {word: found(word) if known else set() for word in asked}
        self.indexed = found(" ".join(known)) if known else set()

    def counts(self, text: str) -> tuple[dict[str, int], int]:
        """Return how often each word that was asked for is in a text, and its length.

        Stop words do not count. Texts must be made of words that were given before.
        """
        here = words(text, self.language)
        counts = {asked: sum(w in same for w in here) for asked, same in self.same.items()}
        return counts, sum(word in self.indexed for word in here)


@dataclass(frozen=True, slots=True)
class BM25Model:
    """The statistics of the index that a query's BM25 depends on.

    `idf` by word of the query; `mean_length` of the index's passages, in words that count.
    """

    analyser: Analyzer
    idf: Mapping[str, float]
    queried: Mapping[str, int]
    mean_length: float

    def score(self, text: str) -> float:
        """Return the BM25 of a text made of words that the analyser knows."""
        counts, length = self.analyser.counts(text)
        norm = K1 * (1 - B + B * length / self.mean_length)
        return sum(
            self.queried[word] * idf * counts[word] * (K1 + 1) / (counts[word] + norm)
            for word, idf in self.idf.items()
        )


def fit_bm25(
    language: str, texts: Sequence[str], terms: Sequence[Sequence[TermScore]]
) -> BM25Model | None:
    """Return the statistics under which these texts have these scores, or None.

    `terms` are the scores of each text by word, of `term_scores`. With term frequencies and
    lengths known, BM25 is linear in the idf of each word and in one over the mean length;
    the least squares must meet every score within 0.2%, or nothing is returned (as for
    passages that the text index does not have yet, or texts without spaces).
    """
    import numpy as np

    asked = list(dict.fromkeys(one.word for row in terms for one in row if one.score > 0))
    if not asked:
        return None
    analyser = Analyzer(language, texts, asked)
    lines, wanted = [], []
    queried = {one.word: one.count for row in terms for one in row}
    for text, row in zip(texts, terms, strict=True):
        counts, length = analyser.counts(text)
        for one in row:
            if one.score <= 0:
                continue
            score, tf = one.score / one.count, counts[one.word]
            line = np.zeros(len(asked) + 1)
            line[asked.index(one.word)] = (K1 + 1) * tf / score
            line[-1] = -K1 * B * length
            lines.append(line)
            wanted.append(tf + K1 * (1 - B))
    matrix, target = np.stack(lines), np.array(wanted)
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return None
    solved = np.linalg.lstsq(matrix, target, rcond=None)[0]
    if np.abs(matrix @ solved - target).max() > _NEAR * target.max() or (solved <= 0).any():
        return None
    idf = dict(zip(asked, solved[:-1].tolist(), strict=True))
    return BM25Model(analyser, idf, queried, 1 / float(solved[-1]))
