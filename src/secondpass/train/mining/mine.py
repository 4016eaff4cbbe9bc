"""Mining of hard, medium and random negatives for every query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.retrieve.store_protocol import TextEncoder, searchable
from secondpass.train.data.examples import Examples, Group
from secondpass.train.mining.false_negatives import FalseNegativeFilter, KnownPositives
from secondpass.train.mining.first_stages import (
    BM25Search,
    Progress,
    SearchResults,
    embed_texts,
)
from secondpass.train.mining.negative_selection import (
    MineSettings,
    SelectedNegatives,
    select_negatives,
    select_retrieved,
)

if TYPE_CHECKING:
    from secondpass.index.search import Search

__all__ = ["MineReport", "MineResult", "MineSettings", "Progress", "mine", "read_corpus"]

_QUERIES_AT_ONCE = 128
_COSINES_AT_ONCE = 16_000_000


@dataclass(slots=True)
class MineReport:
    """Counts of one mining run.

    - `groups`, `passages`: the number of queries, and of candidate passages for each.
    - `given`: negatives that the groups had before; `hard`, `medium`, `random`: those
      added, by kind; `short`: groups that got fewer than requested.
    - `unfound`: positives that the first stages did not retrieve, with `as_found`;
      `left_out`: groups of which they retrieved no positive, or no negative.
    - `same_query`, `same_text`, `margin`: candidates refused because they answer the same
      query, contain a positive's text, or are about as near to the query as a positive.
    - `notes`: what the `source` left out, and the number of queries that it said so for.
    """

    groups: int = 0
    passages: int = 0
    given: int = 0
    hard: int = 0
    medium: int = 0
    random: int = 0
    short: int = 0
    unfound: int = 0
    left_out: int = 0
    same_query: int = 0
    same_text: int = 0
    margin: int = 0
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MineResult:
    """The examples with their negatives, and the counts of the mining."""

    examples: Examples
    report: MineReport = field(default_factory=MineReport)


def mine(
    examples: Examples,
    settings: MineSettings | None = None,
    progress: Progress | None = None,
    *,
    corpus: Iterable[str] = (),
    embedder: TextEncoder | None = None,
    language: str = "english",
    source: Search | None = None,
) -> MineResult:
    """Mine negatives for every group, from all passages and from `corpus`.

    With `source`, such as a `Search` over a database, the first `depth` candidates of its first
    stage take the place of BM25 over all passages, and join the corpus: random negatives are
    what it retrieves for other queries. It is asked once for each query.

    The negatives that a group has stay and come first; then come hard, medium and random
    ones, as `MineSettings` says, without passages that may answer the query, as
    `FalseNegativeFilter` says. With `as_found`, positives and negatives are what a search
    retrieves, and nothing else. Passages keep their indices; those of `corpus` that became a
    negative are appended. A teacher's scores are dropped, as they do not cover the new
    negatives.

    BM25 is that of an index in `language`; vectors are compared exactly, with `embedder`
    (default: the bundled one). Memory holds all vectors and a bounded block of cosines.
    `progress` is called with a stage, how much of it is done, and its total.

    Raises MissingExtraError if the package lancedb is not installed; InputError if
    `as_found` leaves no group; RetrieverError if the database of `source` fails.
    """
    settings = MineSettings() if settings is None else settings
    report_progress = _ignore if progress is None else progress
    queries = [clean(group.query) for group in examples.groups]
    found = None
    if source is not None:
        found = SearchResults(source, queries, settings.depth, report_progress)
        corpus = chain(corpus, found.texts)
    texts = [clean(text) for text in examples.passages]
    known_texts = set(texts)
    texts += [
        t for t in dict.fromkeys(map(clean, corpus)) if t.strip() and t not in known_texts
    ]
    if found is not None:
        found.number(texts)
    if embedder is None:
        from secondpass.retrieve.embedder import Embedder

        embedder = Embedder()
    miner = _Miner(Examples(texts, examples.groups), len(examples.passages), settings)
    if found is not None:
        miner.report.notes = dict(found.notes)
    with (
        BM25Search(texts, language, report_progress) if found is None else nullcontext(found)
    ) as first_stage:
        passage_vectors = embed_texts(embedder, texts, "passages", report_progress)
        query_vectors = embed_texts(embedder, queries, "queries", report_progress)
        step = max(1, min(_QUERIES_AT_ONCE, _COSINES_AT_ONCE // max(1, len(texts))))
        for start in range(0, len(queries), step):
            report_progress("mine", start, len(queries))
            block = slice(start, start + step)
            rankings = first_stage.rank(queries[block], settings.depth)
            cosines = query_vectors[block] @ passage_vectors.T
            for group, ranking, row in zip(
                examples.groups[block], rankings, cosines, strict=True
            ):
                rules = FalseNegativeFilter(group, miner.known, row, settings.margin)
                if settings.as_found:
                    miner.add_retrieved(rules, *select_retrieved(ranking, rules, settings))
                else:
                    miner.add(rules, select_negatives(ranking, rules, settings))
        report_progress("mine", len(queries), len(queries))
    if not miner.groups:
        raise InputError(
            "the first stages retrieve no positive of any query",
            why=f"among the first {settings.depth} of each",
            fix="Use a larger depth, or mine without `as_found`.",
        )
    passages = [*examples.passages, *(texts[index] for index in miner.corpus_indices)]
    return MineResult(Examples(passages, miner.groups), miner.report)


def read_corpus(path: str | Path) -> list[str]:
    """Return the passages of a file or folder, as `secondpass index` reads them, not chunked.

    Raises ReadError for a file that cannot be read.
    """
    from secondpass.retrieve.loaders import find_files, read_file

    documents = (document for file in find_files([path]) for document in read_file(file))
    return [searchable(document.title, document.text) for document in documents]


class _Miner:
    """The groups mined so far, and the passages of the corpus that they use."""

    def __init__(self, examples: Examples, own_passages: int, settings: MineSettings) -> None:
        self.known = KnownPositives(examples)
        self.own_passages = own_passages
        self.total = settings.total
        self.groups: list[Group] = []
        self.corpus_indices: dict[int, int] = {}
        """The new index of each used passage of the corpus, by its index among all texts."""
        self.report = MineReport(groups=len(examples.groups), passages=len(examples.passages))

    def add(self, rules: FalseNegativeFilter, selected: SelectedNegatives) -> None:
        """Add a group with the negatives selected for it."""
        group, report = rules.group, self.report
        added = [*selected.hard, *selected.medium, *selected.random]
        negatives = (*group.negatives, *self._output_indices(added))
        self.groups.append(replace(group, negatives=negatives, scores=None))
        report.given += len(group.negatives)
        report.hard += len(selected.hard)
        report.medium += len(selected.medium)
        report.random += len(selected.random)
        report.short += len(added) < self.total
        self._count_dropped(rules)

    def add_retrieved(
        self, rules: FalseNegativeFilter, positives: list[int], negatives: list[int]
    ) -> None:
        """Add a group of retrieved passages, if it has a positive and a negative."""
        report = self.report
        report.unfound += len(rules.group.positives) - len(positives)
        self._count_dropped(rules)
        if not positives or not negatives:
            report.left_out += 1
            return
        report.hard += len(negatives)
        indices = tuple(self._output_indices(negatives))
        self.groups.append(
            replace(rules.group, positives=tuple(positives), negatives=indices, scores=None)
        )

    def _count_dropped(self, rules: FalseNegativeFilter) -> None:
        report = self.report
        report.same_query += len(rules.dropped["same query"])
        report.same_text += len(rules.dropped["same text"])
        report.margin += len(rules.dropped["margin"])

    def _output_indices(self, indices: Sequence[int]) -> list[int]:
        """Number passages of the corpus behind the examples' own, in order of first use."""
        return [
            index
            if index < self.own_passages
            else self.corpus_indices.setdefault(
                index, self.own_passages + len(self.corpus_indices)
            )
            for index in indices
        ]


def _ignore(stage: str, done: int, total: int) -> None:
    pass
