"""Training lists of a cross-encoder: what the first stages put near the right passage."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from secondpass import Embedder
from secondpass.retrieve.fusion import rrf
from secondpass.train.mining.first_stages import BM25Search, embed_texts

DEPTH = 40
"""Candidates that a list keeps."""
KEY = 400
"""Letters by which two passages count as the same."""
# Queries whose cosines to all passages are in memory at once.
BLOCK = 1024

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class TrainingList:
    """A query, its right passage, and what was found for it, as numbers of passages.

    - `spans`: [start, end) of what answers in the text of the right passage.
    - `given`: wrong passages that the source names; `found`: best first.
    - `cosines`: the embedder's, of the right passage, the given and the found ones.
    - `targets`: scores to learn, in the same order, of a topic that several passages are about;
      empty where only the right passage is known.
    """

    source: str
    query: str
    spans: list[tuple[int, int]]
    right: int
    given: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)


class Passages:
    """Titles and texts, each once."""

    def __init__(self) -> None:
        self.items: list[tuple[str, str]] = []
        self._numbers: dict[str, int] = {}

    def number(self, title: str, text: str) -> int:
        """Return the number of a passage, which is added if it is new."""
        key = letters(text)[:KEY]
        if key not in self._numbers:
            self._numbers[key] = len(self.items)
            self.items.append((title, text))
        return self._numbers[key]

    def searchable(self) -> list[str]:
        """Return each as it is indexed: the title, a line break, the text."""
        return [f"{title}\n{text}" if title else text for title, text in self.items]


def letters(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return "".join(c for c in text.lower() if c.isalnum())


def rank_lists(
    lists: Sequence[TrainingList],
    answers: Sequence[Sequence[str]],
    passages: Passages,
    progress: Progress,
) -> int:
    """Add to each list what BM25 and the embedder find; return how many answers were found.

    `answers`: of each list, the `letters` of what answers, one text for each answer. Candidates
    that have one are right too, and are left out.
    """
    texts, queries = passages.searchable(), [one.query for one in lists]
    embedder = Embedder()
    vectors = embed_texts(embedder, texts, "embed passages", progress)
    asked = embed_texts(embedder, queries, "embed queries", progress)
    with BM25Search(texts, "english", progress) as search:
        by_words = search.rank(queries, DEPTH)
    searched = [letters(text) for _, text in passages.items]
    answering = 0
    for i, (one, known) in enumerate(zip(lists, answers, strict=True)):
        if i % BLOCK == 0:
            progress("rank", i, len(lists))
            block = asked[i : i + BLOCK] @ vectors.T
        cosines = block[i % BLOCK]
        nearest = np.argpartition(-cosines, min(DEPTH, len(cosines) - 1))[:DEPTH]
        by_vector = nearest[np.argsort(-cosines[nearest])].tolist()
        for number in _fuse(by_vector, by_words[i]):
            if number == one.right or number in one.given:
                continue
            if any(answer in searched[number] for answer in known):
                answering += 1
                continue
            one.found.append(number)
        del one.found[DEPTH:]
        kept = [one.right, *one.given, *one.found]
        one.cosines = [round(float(cosines[n]), 4) for n in kept]
    progress("rank", len(lists), len(lists))
    return answering


def write_lists(
    folder: Path, lists: Sequence[TrainingList], passages: Sequence[tuple[str, str]]
) -> None:
    """Write lists.jsonl and passages.json."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(one)) + "\n" for one in lists)
    (folder / "lists.jsonl").write_text("".join(lines), "utf-8")
    (folder / "passages.json").write_text(json.dumps(passages), "utf-8")


def read_lists(folder: Path) -> tuple[list[TrainingList], list[tuple[str, str]]]:
    """Read what `write_lists` wrote."""
    lines = (folder / "lists.jsonl").read_text("utf-8").splitlines()
    passages = json.loads((folder / "passages.json").read_text("utf-8"))
    return [TrainingList(**json.loads(line)) for line in lines], passages


def _fuse(*rankings: Sequence[int]) -> list[int]:
    """Return the union of rankings, best first."""
    named = [[(str(n), -float(rank)) for rank, n in enumerate(r)] for r in rankings]
    return [int(name) for name, _ in rrf(named)]
