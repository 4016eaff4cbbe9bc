"""Build `src/secondpass/models/calibration/pairs.jsonl` from the training data folder.

    SECONDPASS_DATA=../shared/data python scripts/build_calibration.py

Only sources whose license allows redistribution with attribution are used. For every sampled
question the file has its passage (label 1), the passage of the same source that shares most
rare words with it (label 0) and a random passage of another source (label 0). The result
depends only on the data and the seed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

# Source file → number of questions sampled from it.
SOURCES = {
    "squad11_train": 30,
    "boolq_val_test": 25,
    "medquad": 25,
    "fm2_dev_test": 20,
    "pubmedqa_labeled": 25,
    "selqa": 15,
    "covidqa_deepset": 12,
    "clapnq_dev": 10,
    "qed_dev": 10,
    "mtrag_subset": 8,
}
POOL = 2000
SEED = 20
MAX_WORDS = 200


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def truncate(text: str) -> str:
    return " ".join(text.split()[:MAX_WORDS])


class Pool:
    """Passages of one source, searchable by the idf weight of the words they share."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.bags = [words(row["positive"]) for row in rows]
        df = Counter(word for bag in self.bags for word in bag)
        self.idf = {word: math.log(len(rows) / count) for word, count in df.items()}

    def nearest(self, query: str, own: str) -> dict[str, Any]:
        """Return the passage, other than `own`, with the highest weight of shared words."""
        query_words = sorted(words(query) & self.idf.keys())
        scores = [
            -1.0
            if row["positive"] == own
            else sum(self.idf[w] for w in query_words if w in bag)
            for row, bag in zip(self.rows, self.bags, strict=True)
        ]
        return self.rows[max(range(len(scores)), key=scores.__getitem__)]


def build(folder: Path) -> list[dict[str, Any]]:
    rng = random.Random(SEED)
    pools = {}
    for name in SOURCES:
        rows = read(folder, name)
        pools[name] = Pool(rng.sample(rows, min(POOL, len(rows))))
    pairs = []
    for name, count in SOURCES.items():
        for row in rng.sample(pools[name].rows, count):
            hard = pools[name].nearest(row["query"], row["positive"])
            other_name = rng.choice([other for other in SOURCES if other != name])
            easy = rng.choice(pools[other_name].rows)
            for source, passage, label in (
                (name, row, 1),
                (name, hard, 0),
                (other_name, easy, 0),
            ):
                pair = {
                    "query": row["query"],
                    "text": truncate(passage["positive"]),
                    "label": label,
                }
                if passage.get("title"):
                    pair["title"] = passage["title"]
                pairs.append({**pair, "source": source})
    return pairs


def main() -> None:
    here = Path(__file__).resolve().parents[1]
    data = os.environ.get("SECONDPASS_DATA", str(here.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument(
        "--out", type=Path, default=here / "src/secondpass/models/calibration/pairs.jsonl"
    )
    args = parser.parse_args()
    folder = args.data / "train"
    if not folder.is_dir():
        raise SystemExit(
            f"no training data at {folder}: set SECONDPASS_DATA to the data folder"
        )
    pairs = build(folder)
    with args.out.open("w", encoding="utf-8") as out:
        for pair in pairs:
            out.write(json.dumps(pair, ensure_ascii=False) + "\n")
    print(f"{len(pairs)} pairs of {len(pairs) // 3} questions → {args.out}")


if __name__ == "__main__":
    main()
