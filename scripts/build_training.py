"""Build the training pairs of the bundled models from the training data folder.

    SECONDPASS_DATA=../shared/data python scripts/build_training.py --out pairs.jsonl

Only sources whose licence allows open and commercial use are read. Two kinds of pseudo-query
keep the queries from being questions only: a sentence taken out of its passage (inverse
cloze, Lee et al., ACL 2019) and a heading with its section. The result depends only on the
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

# Source file → most pairs taken from it; None takes all.
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
# SQuAD's questions echo their paragraphs: two of each paragraph, and not all paragraphs.
PARAGRAPHS, QUESTIONS_EACH = 6000, 2
# Passages, that no question is taken of, for inverse cloze.
CLOZE = {SQUAD: 3000, "medquad": 1500}
TITLED = 0.6
GIVEN_NEGATIVES = 4
SEED = 7

Row = dict[str, Any]


def read(folder: Path, name: str) -> list[Row]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Builder:
    """Gives each passage its title or not, once, so that it stays one passage."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.titles: dict[str, str | None] = {}

    def pair(self, source: str, row: Row) -> Row:
        """Return the row as a training pair."""
        text = row["positive"].strip()
        if text not in self.titles:
            shown = row.get("title") and self.rng.random() < TITLED
            self.titles[text] = row["title"] if shown else None
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
    left: dict[str, list[str]] = {}
    for name, most in SOURCES.items():
        rows = read(folder, name)
        rng.shuffle(rows)
        yield from (builder.pair(name, row) for row in rows[:most])
        used = {row["positive"] for row in rows[:most]}
        left[name] = [row["positive"] for row in rows if row["positive"] not in used]
    paragraphs: dict[str, list[Row]] = {}
    for row in read(folder, SQUAD):
        paragraphs.setdefault(row["positive"], []).append(row)
    order = list(paragraphs)
    rng.shuffle(order)
    for text in order[:PARAGRAPHS]:
        asked = paragraphs[text]
        chosen = rng.sample(asked, min(QUESTIONS_EACH, len(asked)))
        yield from (builder.pair(SQUAD, row) for row in chosen)
    left[SQUAD] = order[PARAGRAPHS:]
    for name, most in CLOZE.items():
        made = (builder.cloze(name, text) for text in left[name][:most])
        yield from (pair for pair in made if pair is not None)


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
