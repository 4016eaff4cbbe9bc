"""Training lists of a cross-encoder: what the first stages put near the right passage."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from beir import DATA
from source_lists import OUT as HELD_OUT

from secondpass import Embedder
from secondpass.retrieve.fusion import rrf
from secondpass.sentences import split_sentences
from secondpass.train.mining.first_stages import BM25Search, embed_texts

SOURCES: Mapping[str, int] = {
    "boolq_val_test": 5000,
    "clapnq_dev": 9999,
    "mtrag_subset": 9999,
    "medquad": 4000,
    "stackexchange_small": 3500,
    "se_skeptics": 9999,
    "selqa": 9999,
    "fm2_dev_test": 2500,
    "covid_faq_deepset": 9999,
    "pubmedqa_labeled": 9999,
    "codenn_so": 1500,
    "multihop_small": 9999,
    "perlfaq": 9999,
    "acl_title_abstract": 500,
    "scitldr": 1500,
    "docs_mix": 1000,
}
"""By file of pairs without known answers, the number of queries taken from it."""
PASSAGES = {"squad11_train": 99_999, "passages_pool": 6000}
"""Files whose passages are only found, and how many of them."""
DEPTH = 40
"""Candidates that a list keeps."""
# A shorter answer is in many passages by chance.
SHORTEST_ANSWER = 4
KEY = 400
"""Letters by which two passages count as the same."""
SEED = 7
# Queries whose cosines to all passages are in memory at once.
BLOCK = 1024

Progress = Callable[[str, int, int], None]


@dataclass(slots=True)
class TrainingList:
    """A query, its right passage, and what was found for it, as numbers of passages.

    - `spans`: [start, end) of what answers in the text of the right passage.
    - `given`: wrong passages that the source names; `found`: best first.
    - `cosines`: the embedder's, of the right passage, the given and the found ones.
    """

    source: str
    query: str
    spans: list[tuple[int, int]]
    right: int
    given: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)


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


def build_lists(
    spans: Sequence[Path], progress: Progress, *, data: Path = DATA, held_out: Path = HELD_OUT
) -> tuple[list[TrainingList], list[tuple[str, str]], Counter[str]]:
    """Return the lists, the passages, and counts of what was left out.

    - `spans`: files of `scripts/build_span_examples.py`; where they have no places of answers,
      the answering sentences are the spans.
    - `data`: a folder with `train` and `eval`; `held_out`: the collections of
      `source_lists.py`.

    Queries of evaluated and of held-out collections are left out, and candidates that have
    the letters of the answer. Files that are missing are counted.
    """
    order, passages, left_out = random.Random(SEED), Passages(), Counter[str]()
    evaluated = _queries(data / "eval") | _queries(held_out)

    def read(name: str, count: int) -> list[dict[str, Any]]:
        file = data / "train" / f"{name}.jsonl.gz"
        left_out[f"{file.name}, which is missing"] += not file.is_file()
        return _shuffled(file, order)[:count] if file.is_file() else []

    examples = list(_with_answers(spans, passages))
    for name, count in SOURCES.items():
        examples += [(_without_answers(name, row, passages), []) for row in read(name, count)]
    lists: list[TrainingList] = []
    answers: list[list[str]] = []
    for one, known in examples:
        if letters(one.query) in evaluated:
            left_out["queries of evaluated collections"] += 1
            continue
        lists.append(one)
        answers.append(known)
    for name, count in PASSAGES.items():
        for row in read(name, count):
            passages.number(row.get("title") or "", row.get("positive") or row["text"])
    texts, queries = passages.searchable(), [one.query for one in lists]
    embedder = Embedder()
    vectors = embed_texts(embedder, texts, "embed passages", progress)
    asked = embed_texts(embedder, queries, "embed queries", progress)
    with BM25Search(texts, "english", progress) as search:
        by_words = search.rank(queries, DEPTH)
    searched = [letters(text) for _, text in passages.items]
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
                left_out["candidates that have the answer"] += 1
                continue
            one.found.append(number)
        del one.found[DEPTH:]
        kept = [one.right, *one.given, *one.found]
        one.cosines = [round(float(cosines[n]), 4) for n in kept]
    progress("rank", len(lists), len(lists))
    return lists, passages.items, +left_out


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


def _with_answers(
    spans: Sequence[Path], passages: Passages
) -> Iterator[tuple[TrainingList, list[str]]]:
    """Yield lists without candidates, and the letters of their answers."""
    for file in spans:
        for row in map(json.loads, file.read_text("utf-8").splitlines()):
            text, places = row["text"], row["spans"]
            known = [letters(text[a:b]) for a, b in places]
            if not places:
                sentences = split_sentences(text)
                places = [sentences[i] for i in row["answers"]]
            right = passages.number(row["title"], text)
            yield (
                TrainingList(file.stem, row["query"], places, right),
                [answer for answer in known if len(answer) >= SHORTEST_ANSWER],
            )


def _without_answers(name: str, row: dict[str, Any], passages: Passages) -> TrainingList:
    """Return a list without candidates but those that its source names as wrong."""
    right = passages.number(row.get("title") or "", row["positive"])
    named = [passages.number("", text) for text in row.get("negatives") or ()]
    given = [number for number in dict.fromkeys(named) if number != right]
    return TrainingList(name, row["query"], [], right, given)


def _fuse(*rankings: Sequence[int]) -> list[int]:
    """Return the union of rankings, best first."""
    named = [[(str(n), -float(rank)) for rank, n in enumerate(r)] for r in rankings]
    return [int(name) for name, _ in rrf(named)]


def _shuffled(file: Path, order: random.Random) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    order.shuffle(found)
    return found


def _queries(folder: Path) -> set[str]:
    """Return the letters of the queries of all collections in a folder."""
    found: set[str] = set()
    for file in folder.glob("*/queries.jsonl*"):
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8") as lines:
            found |= {letters(json.loads(line)["text"]) for line in lines}
    return found
