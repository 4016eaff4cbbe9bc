"""Grouping: how many documents are among the first ten results, with and without `group_by`.

    python benchmarks/grouping.py                     # on the sample of the repository
    python benchmarks/grouping.py --queries 136

The 1,479 paragraphs of the sample are indexed twice: as 35 articles, each split into passages
of `--chunk-tokens` tokens, and as they are, so that no document has a second passage. nDCG@10
is of the article that has the answer, and of the paragraph; a document counts where it is
first.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from secondpass import Document, Index
from secondpass.evaluate import Collection

SAMPLE = Path(__file__).parents[1] / "examples" / "wikipedia"
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--chunk-tokens", type=int, default=128)
    arguments = parser.parse_args()
    collection = Collection.read(str(SAMPLE)).first(arguments.queries)
    paragraphs = [
        json.loads(line)
        for line in (SAMPLE / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    article = {row["_id"]: row["title"] for row in paragraphs}
    texts: dict[str, list[str]] = defaultdict(list)
    for row in paragraphs:
        texts[row["title"]].append(row["text"])
    articles = [Document("\n\n".join(t), id=name, title=name) for name, t in texts.items()]
    of_articles = {
        query: {article[document] for document in relevant}
        for query, relevant in collection.qrels.items()
    }
    of_paragraphs = {query: set(relevant) for query, relevant in collection.qrels.items()}
    print(f"{len(collection.queries)} queries, {arguments.candidates} candidates, top {K}")
    with TemporaryDirectory() as folder:
        for name, documents, relevant, chunk_tokens in (
            ("articles", articles, of_articles, arguments.chunk_tokens),
            ("paragraphs", paragraphs, of_paragraphs, None),
        ):
            with Index.open(Path(folder) / name, chunk_tokens=chunk_tokens) as index:
                index.add(documents)
                index.optimize()
                print(f"\n{name}: {index.count()} documents, {index.count_passages()} passages")
                for group_by in (None, "document"):
                    measure(index, collection, relevant, group_by, arguments.candidates)


def measure(
    index: Index,
    collection: Collection,
    relevant: Mapping[str, set[str]],
    group_by: str | None,
    candidates: int,
) -> None:
    """Print the documents among the first ten results, and nDCG@10, over all queries."""
    distinct, gains = [], []
    for query_id, query in collection.queries.items():
        response = index.search(query, candidates=candidates, top_k=K, group_by=group_by)
        found = [str(result.document_id) for result in response.results]
        distinct.append(len(set(found)))
        gains.append(ndcg(found, relevant[query_id]))
    mean = sum(distinct) / len(distinct)
    print(
        f"  group_by={group_by!r:10}  {mean:5.2f} documents in the top {K} "
        f"(fewest {min(distinct)})  nDCG@{K} {sum(gains) / len(gains):.4f}"
    )


def ndcg(found: Sequence[str], relevant: set[str]) -> float:
    """Return nDCG@10 of documents; one that is found again counts once."""
    places = {name: place for place, name in reversed(list(enumerate(found, 1)))}
    gain = sum(1 / math.log2(1 + places[name]) for name in relevant if name in places)
    return gain / sum(1 / math.log2(1 + n) for n in range(1, min(len(relevant), K) + 1))


if __name__ == "__main__":
    main()
