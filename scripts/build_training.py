"""Build the training pairs of the bundled models from the training data folder.

    SECONDPASS_DATA=../shared/data python scripts/build_training.py --out pairs.jsonl

Only sources whose license allows open and commercial use are used. Besides questions there are
two kinds of pseudo-queries: a sentence taken out of its passage (inverse cloze, Lee et al., ACL
2019) and a heading with its section. The result depends only on the
data and the seed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Source file → maximum number of pairs from it; None for all.
SOURCES = {
    "boolq_val_test": None,
    "clapnq_dev": None,
    "qed_dev": None,
    "covid_faq_deepset": None,
    "covidqa_deepset": None,
    "perlfaq": None,
    "pubmedqa_labeled": None,
    "mtrag_subset": None,
    "multihop_small": None,
    "fm2_dev_test": None,
    "selqa": None,
    "medquad": 6000,
    "foldoc_weak": 2000,
    "docs_headings_weak": 2000,
    "dstc9_faq": 1000,
}
SQUAD = "squad11_train"
# SQuAD's questions repeat words of their paragraphs: two for a paragraph, not all paragraphs.
PARAGRAPHS, QUESTIONS_EACH = 6000, 2
# Number of passages without questions for inverse cloze.
CLOZE = {SQUAD: 3000, "medquad": 1500}
TITLED = 0.6
GIVEN_NEGATIVES = 4
SEED = 7

Row = dict[str, Any]


def read(folder: Path, name: str) -> list[Row]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Builder:
    """Builds pairs; a passage has its title in all of its pairs or in none."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.titles: dict[str, str | None] = {}

    def pair(self, source: str, row: Row) -> Row:
        """Return the row as a training pair."""
        text = row["positive"].strip()
        if text not in self.titles:
            with_title = row.get("title") and self.rng.random() < TITLED
            self.titles[text] = row["title"] if with_title else None
        query = row["query"]
        if source == "foldoc_weak" and self.rng.random() < TITLED:
            query = re.sub(r"^what is (.*)\?$", r"\1", query)
        pair = {"query": query, "positive": text, "source": source}
        if self.titles[text] is not None:
            pair["title"] = self.titles[text]
        if row.get("negatives"):
            pair["negatives"] = row["negatives"][:GIVEN_NEGATIVES]
        return pair

    def cloze(self, source: str, text: str) -> Row | None:
        """Return a sentence, or a piece of a long one, with the rest of its passage."""
        sentences = [s for s in re.split(r"(?<=[.!?])\s+", text) if len(s) > 25]
        if len(sentences) < 4:
            return None
        chosen = self.rng.randrange(len(sentences))
        words = sentences[chosen].split()
        if len(words) > 24:
            start = self.rng.randrange(len(words) - 16)
            words = words[start : start + self.rng.randint(8, 16)]
        rest = " ".join(sentences[:chosen] + sentences[chosen + 1 :])
        return {"query": " ".join(words), "positive": rest, "source": f"{source}_cloze"}


def build(folder: Path) -> Iterator[Row]:
    rng = random.Random(SEED)
    builder = Builder(rng)
    unused: dict[str, list[str]] = {}
    for name, limit in SOURCES.items():
        rows = read(folder, name)
        rng.shuffle(rows)
        yield from (builder.pair(name, row) for row in rows[:limit])
        used_passages = {row["positive"] for row in rows[:limit]}
        unused[name] = [row["positive"] for row in rows if row["positive"] not in used_passages]
    paragraphs: dict[str, list[Row]] = {}
    for row in read(folder, SQUAD):
        paragraphs.setdefault(row["positive"], []).append(row)
    order = list(paragraphs)
    rng.shuffle(order)
    for text in order[:PARAGRAPHS]:
        rows = paragraphs[text]
        chosen = rng.sample(rows, min(QUESTIONS_EACH, len(rows)))
        yield from (builder.pair(SQUAD, row) for row in chosen)
    unused[SQUAD] = order[PARAGRAPHS:]
    for name, limit in CLOZE.items():
        pairs = (builder.cloze(name, text) for text in unused[name][:limit])
        yield from (pair for pair in pairs if pair is not None)


def main() -> None:
    here = Path(__file__).resolve().parents[1]
    data = os.environ.get("SECONDPASS_DATA", str(here.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--out", type=Path, default=Path("pairs.jsonl"))
    arguments = parser.parse_args()
    folder = arguments.data / "train"
    if not folder.is_dir():
        raise SystemExit(
            f"no training data at {folder}: set SECONDPASS_DATA to the data folder"
        )
    counts: Counter[str] = Counter()
    with arguments.out.open("w", encoding="utf-8") as out:
        for pair in build(folder):
            counts[pair["source"]] += 1
            out.write(json.dumps(pair, ensure_ascii=False) + "\n")
    for source, count in counts.most_common():
        print(f"{count:7,} {source}")
    print(f"{sum(counts.values()):7,} pairs → {arguments.out}")


if __name__ == "__main__":
    main()
