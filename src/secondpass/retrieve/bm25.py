"""BM25 explained: the score of each query term, and the score of a changed passage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.retrieve.backends.lance import schema
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.keywords import find_keywords, find_query_keywords
from secondpass.retrieve.store_protocol import SearchableStore
from secondpass.types import Document


@dataclass(frozen=True, slots=True)
class TermScore:
    """A word of the query, its count there, and what it adds to a passage's BM25.

    `indexed` is False if no passage of the index has the word: a stop word, or unknown.
    """

    word: str
    count: int
    score: float
    indexed: bool = True


def term_scores(
    store: SearchableStore, query: str, passages: Sequence[Document]
) -> list[list[TermScore]]:
    """Return for each passage what each distinct word of the query adds to its BM25.

    BM25 is a sum over words, so the engine searches one word at a time, with the stemming,
    stop words and statistics of any search. The scores of a passage sum to its BM25 up to
    rounding in single precision.
    """
    counts: dict[str, int] = {}
    for keyword in find_query_keywords(query):
        counts[keyword.text] = counts.get(keyword.text, 0) + 1
    result: list[list[TermScore]] = [[] for _ in passages]
    for word, count in counts.items():
        hits = store.bm25(word, len(passages), passages=passages)
        scores = {hit.key: hit.score for hit in hits}
        indexed = bool(scores) or bool(store.bm25(word, 1))
        for passage, terms in zip(passages, result, strict=True):
            score = count * scores.get(passage.key, 0.0)
            terms.append(TermScore(word, count, score, indexed))
    return result


K1, B = 1.2, 0.75
_TOLERANCE = 2e-3


class Analyzer:
    """Which words of some texts match which words of a query, after stemming and stop words.

    The engine itself decides, with the index's language: a table in memory has each distinct
    word as a row, and every row that a query word matches is the same term.
    """

    def __init__(self, language: str, texts: Iterable[str], query_words: Iterable[str]) -> None:
        import pyarrow as pa
        from lancedb.query import MatchQuery

        match: Any = MatchQuery
        vocabulary = sorted({word.text for text in texts for word in find_keywords(text)})
        column = pa.table({schema.WORDS: pa.array(vocabulary, pa.string())})
        table = lance_table.load().connect("memory://").create_table("words", column)
        lance_table.index_text(table, language)

        def search(text: str) -> set[str]:
            if not vocabulary:
                return set()
            matches = table.search(match(text, schema.WORDS), query_type="fts")
            rows = matches.limit(len(vocabulary)).to_arrow()
            return set(rows.column(schema.WORDS).to_pylist())

        self.matches = {word: search(word) for word in query_words}
        self.indexed = search(" ".join(vocabulary))

    def counts(self, text: str) -> tuple[dict[str, int], int]:
        """Return the count of each query word in a text, and the text's length in words.

        Stop words do not count. The text must consist of words of the texts given before.
        """
        words = [word.text for word in find_keywords(text)]
        counts = {
            query_word: sum(word in matches for word in words)
            for query_word, matches in self.matches.items()
        }
        return counts, sum(word in self.indexed for word in words)


@dataclass(frozen=True, slots=True)
class BM25Model:
    """The statistics of the index that a query's BM25 depends on.

    - `idf`, `query_counts`: by word of the query.
    - `mean_length`: of the index's passages, in words without stop words.
    """

    analyzer: Analyzer
    idf: Mapping[str, float]
    query_counts: Mapping[str, int]
    mean_length: float

    def score(self, text: str) -> float:
        """Return the BM25 of a text that consists of words known to the analyzer."""
        counts, length = self.analyzer.counts(text)
        norm = K1 * (1 - B + B * length / self.mean_length)
        return sum(
            self.query_counts[word] * idf * counts[word] * (K1 + 1) / (counts[word] + norm)
            for word, idf in self.idf.items()
        )


def fit_bm25(
    language: str, texts: Sequence[str], terms: Sequence[Sequence[TermScore]]
) -> BM25Model | None:
    """Fit the statistics under which these texts have these scores; None if there is no fit.

    `terms` are the scores of each text by word, from `term_scores`. With term frequencies and
    lengths known, BM25 is linear in the idf of each word and in one over the mean length. The
    least-squares solution must match every score within 0.2%; it does not for passages that
    are not in the text index yet, or texts without spaces.
    """
    import numpy as np

    matched = list(dict.fromkeys(t.word for row in terms for t in row if t.score > 0))
    if not matched:
        return None
    analyzer = Analyzer(language, texts, matched)
    equations, right_side = [], []
    query_counts = {term.word: term.count for row in terms for term in row}
    for text, row in zip(texts, terms, strict=True):
        counts, length = analyzer.counts(text)
        for term in row:
            if term.score <= 0:
                continue
            score, tf = term.score / term.count, counts[term.word]
            equation = np.zeros(len(matched) + 1)
            equation[matched.index(term.word)] = (K1 + 1) * tf / score
            equation[-1] = -K1 * B * length
            equations.append(equation)
            right_side.append(tf + K1 * (1 - B))
    matrix, target = np.stack(equations), np.array(right_side)
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return None
    solution = np.linalg.lstsq(matrix, target, rcond=None)[0]
    error = np.abs(matrix @ solution - target).max()
    if error > _TOLERANCE * target.max() or (solution <= 0).any():
        return None
    idf = dict(zip(matched, solution[:-1].tolist(), strict=True))
    return BM25Model(analyzer, idf, query_counts, 1 / float(solution[-1]))
