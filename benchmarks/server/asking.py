"""What is asked: questions of the sample, each with paragraphs that BM25 finds for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from secondpass import Index

SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "wikipedia"


@dataclass(frozen=True)
class Question:
    """A query and the texts to put in order, best of the first pass first."""

    query: str
    texts: tuple[str, ...]


def queries() -> list[str]:
    """Return the questions of the sample."""
    with (SAMPLE / "queries.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def paragraphs() -> list[dict[str, str]]:
    """Return the paragraphs of the sample: `id`, `title`, `text`."""
    with (SAMPLE / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [{"id": row["_id"], "title": row["title"], "text": row["text"]} for row in rows]


def questions(candidates: int, most: int = 136) -> list[Question]:
    """Return questions with so many paragraphs each."""
    with TemporaryDirectory() as folder, Index.open(folder, chunk_tokens=None) as index:
        index.add(paragraphs())
        return [
            Question(
                query,
                tuple(
                    c.document.text
                    for c in index.first_pass(query, mode="bm25", candidates=candidates)
                ),
            )
            for query in queries()[:most]
        ]
