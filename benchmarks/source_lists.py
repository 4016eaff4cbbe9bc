"""Collections of held-out training queries: the lists that a first stage really ranks.

    python benchmarks/source_lists.py                # write the eight collections
    SECONDPASS_DATA=.cache/sources python benchmarks/quality.py --collections \
        wiki sentences medical forums code docs laws papers

Reads $SECONDPASS_DATA/train (NAME.jsonl.gz with query, positive, title, negatives, kind) and
writes .cache/sources/eval/GROUP in BEIR layout: all passages of the group's sources, and test
queries chosen by the hash of their text, so that another run or another cap chooses the same.
The positives are the only judgments, so nDCG@10 is too low where another passage answers too.
Each list is unfiltered: a second pass can learn from it, or be judged by it, only because the
first stage is wrong in some.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beir import DATA, ROOT

GROUPS: Mapping[str, Mapping[str, int]] = {
    "wiki": {
        "squad11_train": 2500,
        "boolq_val_test": 9999,
        "clapnq_dev": 9999,
        "qed_dev": 9999,
        "mtrag_subset": 9999,
        "multihop_small": 9999,
    },
    "sentences": {"selqa": 9999, "fm2_dev_test": 1500},
    "medical": {
        "medquad": 4000,
        "covidqa_deepset": 1500,
        "pubmedqa_labeled": 1000,
        "covid_faq_deepset": 999,
    },
    "forums": {"stackexchange_small": 6000, "se_pippim": 1500, "se_skeptics": 1500},
    "code": {"codenn_so": 4000, "code_python": 2000, "code_java_go": 1000},
    "docs": {
        "docs_mix": 1500,
        "fcc_guides": 1000,
        "ms_business_central": 1000,
        "ms_cpp_docs": 700,
        "so_documentation": 1500,
        "texfaq": 999,
        "arduino_help": 999,
        "perlfaq": 999,
        "perl_docs": 400,
        "rust_docs": 700,
        "ms_faq": 200,
        "php_manual": 300,
        "dstc9_faq": 300,
        "aws_api_docs": 300,
    },
    "laws": {"laws_canada": 3000, "regs_cfpb": 1500, "factbook": 500},
    "papers": {"arxiv_title_abstract": 2500, "acl_title_abstract": 2000, "scitldr": 1500},
}
"""By collection, its sources and the number of queries taken from each."""

UNTITLED = ("code_python", "code_java_go")
"""Sources whose titles give the answer away."""
NATURAL_KINDS = ("question", "support")
GIVEN_NEGATIVES = 6
KEY = 400
"""Characters of a text by which two passages count as the same."""
OUT = ROOT / ".cache" / "sources" / "eval"

Row = dict[str, Any]


@dataclass
class Group:
    """The passages, queries and judgments of one collection.

    - `passages`: by id, title and text; `ids`: by normalized text, so that a passage of two
      pairs is one.
    - `queries`: by id, the text; `sources`: by query id; `relevant`: by query id, passage ids.
    """

    name: str
    passages: dict[str, tuple[str, str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    relevant: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add_passage(self, text: str, title: str) -> str:
        """Add a passage unless its text is there; return its id."""
        key = re.sub(r"\W+", " ", text.lower()).strip()[:KEY]
        if key not in self.ids:
            self.ids[key] = f"{self.name}{len(self.ids)}"
            self.passages[self.ids[key]] = (title, text)
        return self.ids[key]

    def add_source(self, source: str, rows: Iterable[Row], limit: int) -> None:
        """Add the pairs of up to `limit` queries, natural questions first."""
        pairs: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            pairs[row["query"]].append(row)
        order = sorted(
            pairs,
            key=lambda q: (pairs[q][0].get("kind") not in NATURAL_KINDS, _hash(q)),
        )
        for text in order[:limit]:
            query = f"q{_hash(source + text):x}"
            self.queries[query], self.sources[query] = text, source
            for row in pairs[text]:
                title = "" if source in UNTITLED else row.get("title") or ""
                self.relevant[query].add(self.add_passage(row["positive"], title))
                for negative in (row.get("negatives") or [])[:GIVEN_NEGATIVES]:
                    self.add_passage(negative, title)

    def test_queries(self, number: int) -> list[str]:
        """Return about `number` query ids, from each source by the square root of its size."""
        by_source: dict[str, list[str]] = defaultdict(list)
        for query, source in self.sources.items():
            by_source[source].append(query)
        total = sum(len(queries) ** 0.5 for queries in by_source.values())
        chosen = []
        for queries in by_source.values():
            share = max(3, round(number * len(queries) ** 0.5 / total))
            chosen += sorted(queries, key=lambda query: _hash("t" + query))[:share]
        return sorted(chosen)

    def write(self, folder: Path, test: list[str]) -> None:
        """Write the collection in BEIR layout."""
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
        _write_lines(
            folder / "corpus.jsonl",
            ({"_id": i, "title": t, "text": x} for i, (t, x) in self.passages.items()),
        )
        _write_lines(
            folder / "queries.jsonl", ({"_id": q, "text": self.queries[q]} for q in test)
        )
        lines = [f"{q}\t{p}\t1\n" for q in test for p in sorted(self.relevant[q])]
        judgments = "query-id\tcorpus-id\tscore\n" + "".join(lines)
        (folder / "qrels" / "test.tsv").write_text(judgments, "utf-8")


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16)


def _write_lines(file: Path, rows: Iterable[Row]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=150, help="test queries of a collection")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    for name, sources in GROUPS.items():
        group = Group(name)
        for source, limit in sources.items():
            file = DATA / "train" / f"{source}.jsonl.gz"
            if not file.is_file():
                print(f"{name}: {file} is missing, the collection is left out", file=sys.stderr)
                break
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                group.add_source(source, map(json.loads, lines), limit)
        else:
            test = group.test_queries(arguments.queries)
            group.write(arguments.out / name, test)
            print(f"{name}: {len(group.passages):,} passages, {len(test)} test queries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
