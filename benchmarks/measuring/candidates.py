"""What the first stages find for each question, computed once and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from beir import Collection

from measuring.progress import bar
from secondpass import Embedder
from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.retrieve.retriever import Retriever
from secondpass.retrieve.store_protocol import searchable

Found = Mapping[str, list[FirstStageCandidate]]
"""By first stage ("bm25", "hybrid", "vector"), the candidates of a question, best first."""

Finder = Callable[[str, str], Found]
"""From a query id and a question to what is found."""


Opener = Callable[[], AbstractContextManager[Finder]]


def searching(retriever: Retriever, depth: int) -> Finder:
    """Return a finder that searches an index as `Index.search` does."""

    def find(_: str, question: str) -> Found:
        found = {}
        for mode in ("bm25", "hybrid", "vector"):
            got = retriever.retrieve(
                question, mode=mode, candidates=depth, complete_scores=mode != "vector"
            )
            found[mode] = [FirstStageCandidate.from_candidate(c) for c in got.candidates]
        return found

    return find


def given(collection: Collection, embedder: Embedder, depth: int) -> Finder:
    """Return a finder of the collection's given candidates, with the cosine of each."""
    texts = {d.id: searchable(d.title, d.text) for d in collection.documents}

    def find(query: str, question: str) -> Found:
        run = collection.runs[query][:depth]
        vectors = embedder.encode([question, *(texts[name] for name, _ in run)])
        cosines = (vectors[1:] @ vectors[0]).tolist()
        entries = [
            FirstStageCandidate(n, score, c) for (n, score), c in zip(run, cosines, strict=True)
        ]
        return {"bm25": entries, "hybrid": entries}

    return find


def gather(collection: Collection, file: Path, start: Opener) -> dict[str, Found]:
    """Return what is found for every question, from the file where it has it.

    What is new is appended question by question, so that a run that was interrupted goes
    on; `start` is called only if something is.
    """
    known = _read(file, collection.queries)
    missing = [query for query in collection.queries if query not in known]
    if missing:
        file.parent.mkdir(parents=True, exist_ok=True)
        with (
            start() as find,
            bar(f"{collection.name}: first stages", len(missing)) as advance,
            file.open("a", encoding="utf-8") as stream,
        ):
            # What an interruption may have left of a line must not swallow the next.
            stream.write("\n")
            for query in missing:
                question = collection.queries[query]
                known[query] = find(query, question)
                stream.write(_line(query, question, known[query]))
                stream.flush()
                advance(1)
    return {query: known[query] for query in collection.queries}


def _line(query: str, question: str, found: Found) -> str:
    rows = {stage: [[e.id, e.bm25, e.vector] for e in es] for stage, es in found.items()}
    return json.dumps({"query": query, "question": question, "found": rows}) + "\n"


def _read(file: Path, questions: Mapping[str, str]) -> dict[str, Found]:
    known: dict[str, Found] = {}
    for line in file.read_text("utf-8").splitlines() if file.is_file() else ():
        try:
            row: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if questions.get(row["query"]) == row["question"]:
            known[row["query"]] = {
                stage: [FirstStageCandidate(*fields) for fields in entries]
                for stage, entries in row["found"].items()
            }
    return known
