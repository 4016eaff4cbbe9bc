"""Test collections: queries with judgments, from files, BEIR folders or ir_datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.evaluate.qrels import Grades, Qrels, read_qrels
from secondpass.evaluate.queries import read_queries
from secondpass.evaluate.text_files import abbreviate

IR_DATASETS = "ir_datasets:"


@dataclass(frozen=True)
class Collection:
    """Queries and their judgments (qrels), the same ids in both.

    - `queries`: text by id; `qrels`: by query id, the grade of each judged document.
    - `notes`: in words, what was left out, and which rules applied.
    """

    name: str
    queries: Mapping[str, str]
    qrels: Grades
    notes: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        queries: str | Path,
        qrels: str | Path | None = None,
        *,
        split: str = "test",
        name: str | None = None,
    ) -> Collection:
        """Read a collection from files, a BEIR folder or `ir_datasets:NAME`.

        Without `qrels`, they are read from where the queries are. `split` names the file
        `qrels/SPLIT.tsv` of a BEIR folder. See `read_queries` and `read_qrels` for the
        formats. Only queries with judgments are kept; those left out are counted in
        `notes`, with three of them, and so are judgments of unknown queries. Raises
        InputError where nothing is left.
        """
        if str(queries).startswith(IR_DATASETS):
            dataset = str(queries).removeprefix(IR_DATASETS)
            texts, judged = read_dataset(dataset)
            if qrels is not None:
                judged = _read_qrels(qrels, split)
            return build_collection(dataset if name is None else name, texts, judged)
        path = Path(queries)
        if qrels is None and not path.is_dir():
            raise InputError(
                "there are no judgments",
                where=str(path),
                why="the queries are a file, so the judgments must be named too",
                fix="Name a qrels file, or a BEIR folder for both.",
            )
        judged = _read_qrels(path if qrels is None else qrels, split)
        folder = path.resolve() if path.is_dir() else path.resolve().parent
        return build_collection(
            folder.name if name is None else name, read_queries(path), judged
        )

    def first(self, n: int | None) -> Collection:
        """Return the first `n` queries with their judgments; None keeps all."""
        kept = list(self.queries)[:n]
        return replace(
            self,
            queries={q: self.queries[q] for q in kept},
            qrels={q: self.qrels[q] for q in kept},
        )

    def checked(self, known: Iterable[str], where: str) -> Collection:
        """Return the collection with a note on judged documents that are not among `known`.

        Raises InputError where none of the relevant documents is, since then nothing can
        be measured. `where` is what lacks them, for messages, such as "the index".
        """
        present = set(known)
        judged = list(dict.fromkeys(d for grades in self.qrels.values() for d in grades))
        missing = [d for d in judged if d not in present]
        relevant = {d for grades in self.qrels.values() for d, g in grades.items() if g > 0}
        if relevant and not relevant & present:
            raise InputError(
                f"none of the {len(relevant)} relevant documents is there",
                where=where,
                why=f"the judgments name {abbreviate(missing)}",
                fix="Check that the judgments use the document ids of the index.",
            )
        if not missing:
            return self
        missing_relevant = sum(d in relevant for d in missing)
        note = (
            f"{len(missing)} of {len(judged)} judged documents are not in {where}"
            f" ({missing_relevant} of them relevant, which no search can find):"
            f" {abbreviate(missing)}"
        )
        return replace(self, notes=(*self.notes, note))

    def found(self, retrieved: Iterable[str], where: str) -> Collection:
        """Return the collection with a note on relevant documents that no search retrieved.

        For a source that cannot be asked which documents it has. Raises InputError where none
        was retrieved, as ids of another form would be. `where` is the source, for messages.
        """
        present = set(retrieved)
        relevant = {d for grades in self.qrels.values() for d, g in grades.items() if g > 0}
        if relevant and not relevant & present:
            raise InputError(
                f"none of the {len(relevant)} relevant documents was retrieved",
                where=where,
                why=f"the judgments name {abbreviate(sorted(relevant))}; retrieved were"
                f" {abbreviate(sorted(present)) or 'none'}",
                fix="Check that the judgments use its ids: id=COLUMN in the URL names them.",
            )
        note = (
            f"{len(relevant - present)} of {len(relevant)} relevant documents were not"
            f" retrieved; whether {where} has them is not known"
        )
        return replace(self, notes=(*self.notes, note)) if relevant - present else self


def build_collection(name: str, queries: Mapping[str, str], judged: Qrels) -> Collection:
    """Return the queries that have both a text and judgments, with notes on the others."""
    grades = judged.grades
    kept = [q for q in queries if q in grades]
    unjudged = [q for q in queries if q not in grades]
    unknown = [q for q in grades if q not in queries]
    if not kept:
        raise InputError(
            f"none of the {len(grades)} judged queries has a text",
            where=name,
            why=f"judgments are for {abbreviate(unknown)};"
            f" queries are {abbreviate(list(queries))}",
            fix="Check that both files use the same query ids.",
        )
    empty = [q for q in kept if not any(grades[q].values())]
    if len(empty) == len(kept):
        raise InputError(
            f"none of the {len(kept)} queries has a relevant document",
            where=name,
            why="every grade is 0 or below",
        )
    notes = []
    if unjudged:
        notes.append(f"{_count(unjudged)} without judgments left out: {abbreviate(unjudged)}")
    if unknown:
        notes.append(
            f"judgments of {_count(unknown)} without a text left out: {abbreviate(unknown)}"
        )
    if empty:
        notes.append(
            f"{_count(empty)} without a relevant document count as 0: {abbreviate(empty)}"
        )
    if judged.repeated:
        notes.append(f"{judged.repeated} repeated judgments count once")
    if judged.negative:
        notes.append(f"{judged.negative} grades below 0 count as judged and not relevant")
    return Collection(
        name, {q: queries[q] for q in kept}, {q: grades[q] for q in kept}, tuple(notes)
    )


def _read_qrels(qrels: str | Path, split: str) -> Qrels:
    if str(qrels).startswith(IR_DATASETS):
        return read_dataset(str(qrels).removeprefix(IR_DATASETS))[1]
    return read_qrels(Path(qrels), split)


def _count(names: list[str]) -> str:
    return f"{len(names)} quer{'y' if len(names) == 1 else 'ies'}"


def read_dataset(name: str) -> tuple[dict[str, str], Qrels]:
    """Return queries and judgments of a data set, such as "beir/scifact/test".

    ir_datasets downloads what it does not have yet. Raises MissingExtraError without the
    package, InputError for an unknown name or a data set without queries or judgments.
    """
    try:
        ir_datasets: Any = import_module("ir_datasets")
    except ImportError as error:
        raise MissingExtraError(
            f"reading ir_datasets:{name}", package="ir-datasets", extra="datasets"
        ) from error
    try:
        dataset = ir_datasets.load(name)
    except KeyError as error:
        raise InputError(
            f"ir_datasets has no {name!r}", fix="Its catalog lists the names: ir-datasets.com"
        ) from error
    if not dataset.has_queries() or not dataset.has_qrels():
        raise InputError(f"{name!r} has no queries with judgments")
    queries = {q.query_id: q.default_text() for q in dataset.queries_iter()}
    grades: dict[str, dict[str, int]] = {}
    negative = 0
    for judged in dataset.qrels_iter():
        negative += judged.relevance < 0
        grades.setdefault(judged.query_id, {})[judged.doc_id] = max(0, judged.relevance)
    return queries, Qrels(grades, negative=negative)
