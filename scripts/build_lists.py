"""Build the training lists of `bundled-full`: queries, and what the first stages find for them.

    python scripts/build_span_examples.py …           # runs/spans, see its help
    python benchmarks/source_lists.py                 # held-out queries, which are left out
    SECONDPASS_DATA=../shared/data python scripts/build_lists.py runs/spans/*.jsonl

Queries with known answers come from the files of `build_span_examples.py`, others from the
pairs in $SECONDPASS_DATA/train. Each is searched for, by BM25 and by the embedder, among all
passages; what has the letters of its answer is left out. Topics made from titles and abstracts
have no right passage: what is learned is how `bundled` and the embedder rank theirs. Queries
of the collections in $SECONDPASS_DATA/eval and of the held-out ones are left out too, and files
that are missing are counted. Writes lists.jsonl and passages.json. About 35 minutes on two
cores.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from secondpass.plain_progress import PlainProgress
from secondpass.sentences import split_sentences
from secondpass.train.listwise.lists import (
    Passages,
    Progress,
    TrainingList,
    letters,
    rank_lists,
    write_lists,
)
from secondpass.train.listwise.topics import add_targets, count_texts, make_topic

ROOT = Path(__file__).resolve().parents[1]
HELD_OUT = ROOT / ".cache" / "sources" / "eval"
"""Where `benchmarks/source_lists.py` writes."""
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
TOPICS: Mapping[str, int] = {
    "arxiv_title_abstract": 3000,
    "acl_title_abstract": 1000,
    "medquad": 1500,
}
"""By file of titles and texts, the number of topics that are made from them."""
PASSAGES = {
    "squad11_train": 99_999,
    "passages_pool": 6000,
    "arxiv_title_abstract": 8000,
    "acl_title_abstract": 4000,
}
"""Files whose passages are only found, and how many of them."""
# A shorter answer is in many passages by chance.
SHORTEST_ANSWER = 4
SEED = 7
TOPIC = "-topics"
"""What the names of sources of topics end in."""


def build_lists(
    spans: Sequence[Path], progress: Progress, *, data: Path, held_out: Path = HELD_OUT
) -> tuple[list[TrainingList], Passages, Counter[str]]:
    """Return the lists, their passages, and counts of what was left out.

    `spans`: files of `build_span_examples.py`; where they have no places of answers, the
    answering sentences are the spans.
    """
    order, passages, left_out = random.Random(SEED), Passages(), Counter[str]()
    evaluated = _queries(data / "eval") | _queries(held_out)

    def read(name: str, count: int) -> list[dict[str, Any]]:
        file = data / "train" / f"{name}.jsonl.gz"
        if not file.is_file():
            left_out[f"{file.name}, which is missing"] = 1
            return []
        return _shuffled(file, order)[:count]

    examples = list(_with_answers(spans, passages))
    for name, count in SOURCES.items():
        examples += [(_without_answers(name, row, passages), []) for row in read(name, count)]
    for name, count in TOPICS.items():
        examples += [(one, []) for one in _topics(name, read(name, count), passages, order)]
    kept = [(one, known) for one, known in examples if letters(one.query) not in evaluated]
    left_out["queries of evaluated collections"] = len(examples) - len(kept)
    for name, count in PASSAGES.items():
        for row in read(name, count):
            passages.number(row.get("title") or "", row.get("positive") or row["text"])
    lists = [one for one, _ in kept]
    answering = rank_lists(lists, [known for _, known in kept], passages, progress)
    left_out["candidates that have the answer"] = answering
    topics = [one for one in lists if one.source.endswith(TOPIC)]
    add_targets(topics, passages, "bundled", progress)
    return lists, passages, +left_out


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


def _topics(
    name: str, rows: Sequence[dict[str, Any]], passages: Passages, order: random.Random
) -> Iterator[TrainingList]:
    """Yield lists without candidates of topics made from titles and texts."""
    frequencies = count_texts(row["positive"] for row in rows)
    for row in rows:
        text = row["positive"]
        # Abstracts are found by their titles, which are not part of them.
        topic = make_topic(row.get("title") or row["query"], text, frequencies, order)
        right = passages.number(row.get("title") or "", text)
        yield TrainingList(name + TOPIC, topic, [], right)


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("spans", type=Path, nargs="+", help="files of build_span_examples.py")
    add("--out", type=Path, default=ROOT / "runs" / "lists")
    add("--held-out", type=Path, default=HELD_OUT)
    parsed = parser.parse_args()
    if "SECONDPASS_DATA" not in os.environ:
        parser.error("set SECONDPASS_DATA to the data folder, which has train/ and eval/")
    data = Path(os.environ["SECONDPASS_DATA"])
    progress = PlainProgress(lambda line: print(line, file=sys.stderr, flush=True))
    lists, passages, left_out = build_lists(
        parsed.spans, progress.update, data=data, held_out=parsed.held_out
    )
    progress.close()
    write_lists(parsed.out, lists, passages.items)
    print(
        json.dumps(
            {"lists": len(lists), "passages": len(passages.items), "left out": dict(left_out)}
        )
    )


if __name__ == "__main__":
    main()
