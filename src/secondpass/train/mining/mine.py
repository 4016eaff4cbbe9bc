"""Hard, medium and random negatives for every query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from secondpass.errors import InputError
from secondpass.inference.unicode import clean
from secondpass.retrieve.store_protocol import TextEncoder, searchable
from secondpass.train.data.examples import Examples, Group
from secondpass.train.mining.false_negatives import Filter, Known
from secondpass.train.mining.first_stages import Progress, WordSearch, embed
from secondpass.train.mining.negative_selection import Chosen, MineSettings, candidates, choose

__all__ = ["MineReport", "MineSettings", "Mined", "Progress", "mine", "read_corpus"]

_QUERIES_AT_ONCE = 128
_COSINES_AT_ONCE = 16_000_000


@dataclass(slots=True)
class MineReport:
    """What a mining did.

    - `groups`, `passages`: how many queries there were, and candidates for each.
    - `given`: negatives that the groups had before; `hard`, `medium`, `random`: those
      added, by kind; `short`: groups that got fewer than was asked for.
    - `unfound`: positives that the first stages did not find, with `as_found`; `left_out`:
      groups of which they found no positive, or nothing else.
    - `same_query`, `same_text`, `margin`: candidates refused because they answer the same
      query, have a positive's text, or are about as near to the query as a positive.
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


@dataclass(frozen=True, slots=True)
class Mined:
    """The examples with their negatives, and how they came about."""

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
) -> Mined:
    """Give every group negatives from all passages and from `corpus`.

    The given negatives of a group stay and come first; then hard, medium and random ones,
    as `MineSettings` says, without what may answer the query, as `Filter` says. With
    `as_found`, positives and negatives are what a search finds, and nothing else. Passages
    keep their places; those of `corpus` that became a negative are added at the end. A
    teacher's scores are left out, as they do not cover the new negatives.

    BM25 is that of an index in `language`; vectors are compared exactly, with `embedder`,
    or the bundled one. Memory holds all vectors and a bounded block of cosines. `progress`
    is called with a stage, how much of it is done, and its total.

    Raises MissingExtraError where the package lancedb is not installed; InputError where
    `as_found` leaves no group.
    """
    settings = MineSettings() if settings is None else settings
    told = _silent if progress is None else progress
    texts = [clean(text) for text in examples.passages]
    there = set(texts)
    texts += [t for t in dict.fromkeys(map(clean, corpus)) if t.strip() and t not in there]
    if embedder is None:
        from secondpass.retrieve.embedder import Embedder

        embedder = Embedder()
    work = _Work(Examples(texts, examples.groups), len(examples.passages), settings)
    queries = [clean(group.query) for group in examples.groups]
    with WordSearch(texts, language, told) as words:
        vectors = embed(embedder, texts, "passages", told)
        asked = embed(embedder, queries, "queries", told)
        step = max(1, min(_QUERIES_AT_ONCE, _COSINES_AT_ONCE // max(1, len(texts))))
        for start in range(0, len(queries), step):
            told("mine", start, len(queries))
            block = slice(start, start + step)
            found = words.rank(queries[block], settings.depth)
            cosines = asked[block] @ vectors.T
            for group, by_words, row in zip(
                examples.groups[block], found, cosines, strict=True
            ):
                rules = Filter(group, work.known, row, settings.margin)
                if settings.as_found:
                    work.add_found(rules, *candidates(by_words, rules, settings))
                else:
                    work.add(rules, choose(by_words, rules, settings))
        told("mine", len(queries), len(queries))
    if not work.groups:
        raise InputError(
            "the first stages find no positive of any query",
            why=f"among the first {settings.depth} of each",
            fix="Look deeper, or mine without `as_found`.",
        )
    passages = [*examples.passages, *(texts[place] for place in work.used)]
    return Mined(Examples(passages, work.groups), work.report)


def read_corpus(path: str | Path) -> list[str]:
    """Return the passages of a file or folder, as `secondpass index` reads them, uncut.

    Raises ReadError for what cannot be read.
    """
    from secondpass.retrieve.loaders import find_files, read_file

    documents = (document for file in find_files([path]) for document in read_file(file))
    return [searchable(document.title, document.text) for document in documents]


class _Work:
    """The groups made so far, and the passages of the corpus that they use."""

    def __init__(self, all_examples: Examples, own: int, settings: MineSettings) -> None:
        self.known = Known(all_examples)
        self.own = own
        self.total = settings.total
        self.groups: list[Group] = []
        self.used: dict[int, int] = {}
        self.report = MineReport(
            groups=len(all_examples.groups), passages=len(all_examples.passages)
        )

    def add(self, rules: Filter, chosen: Chosen) -> None:
        """Add the negatives chosen for a group."""
        group, report = rules.group, self.report
        new = [*chosen.hard, *chosen.medium, *chosen.random]
        negatives = (*group.negatives, *self._places(new))
        self.groups.append(replace(group, negatives=negatives, scores=None))
        report.given += len(group.negatives)
        report.hard += len(chosen.hard)
        report.medium += len(chosen.medium)
        report.random += len(chosen.random)
        report.short += len(new) < self.total
        self._count(rules)

    def add_found(self, rules: Filter, positives: list[int], negatives: list[int]) -> None:
        """Add what a search finds for a group, if it holds an answer and something else."""
        report = self.report
        report.unfound += len(rules.group.positives) - len(positives)
        self._count(rules)
        if not positives or not negatives:
            report.left_out += 1
            return
        report.hard += len(negatives)
        places = tuple(self._places(negatives))
        self.groups.append(
            replace(rules.group, positives=tuple(positives), negatives=places, scores=None)
        )

    def _count(self, rules: Filter) -> None:
        report = self.report
        report.same_query += len(rules.dropped["same query"])
        report.same_text += len(rules.dropped["same text"])
        report.margin += len(rules.dropped["margin"])

    def _places(self, chosen: Sequence[int]) -> list[int]:
        return [
            place
            if place < self.own
            else self.used.setdefault(place, self.own + len(self.used))
            for place in chosen
        ]


def _silent(stage: str, done: int, total: int) -> None:
    pass
