"""What is asked: questions of the sample, each with paragraphs that BM25 finds for it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speed.bm25 import Bm25

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
    texts = [row["text"] for row in paragraphs()]
    search = Bm25(texts)
    return [
        Question(query, tuple(texts[place] for place in search.best(query, candidates)))
        for query in queries()[:most]
    ]
