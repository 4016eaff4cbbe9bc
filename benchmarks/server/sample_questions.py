"""Questions of the sample corpus, each with the paragraphs that BM25 retrieves for it."""

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
    """A query and its candidate texts, in the order of the first stage."""

    query: str
    texts: tuple[str, ...]


def load_queries() -> list[str]:
    """Return the questions of the sample."""
    with (SAMPLE / "queries.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def load_paragraphs() -> list[dict[str, str]]:
    """Return the paragraphs of the sample: `id`, `title`, `text`."""
    with (SAMPLE / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [{"id": row["_id"], "title": row["title"], "text": row["text"]} for row in rows]


def load_questions(candidates: int, limit: int = 136) -> list[Question]:
    """Return up to `limit` questions with `candidates` paragraphs each."""
    texts = [row["text"] for row in load_paragraphs()]
    search = Bm25(texts)
    return [
        Question(query, tuple(texts[index] for index in search.top(query, candidates)))
        for query in load_queries()[:limit]
    ]
