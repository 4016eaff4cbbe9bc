"""What a reranker puts first instead of the labelled passage, printed to be judged by eye.

    python benchmarks/source_lists.py
    SECONDPASS_DATA=.cache/sources python benchmarks/first_rank_errors.py wiki forums medical

Reranks the first 30 of a plain BM25 for some queries of each collection, and prints those whose
first passage is not labelled: the question, that passage, the labelled one and its rank. With
one label a question, a reader finds out how many of these "errors" are answers too.
"""

from __future__ import annotations

import argparse
import random
import sys

from beir import load, missing
from harness.progress import console, progress_bar
from speed.bm25 import Bm25

from secondpass import Reranker

SHOWN = 400
"""Characters of a passage that are printed."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("collections", nargs="+", metavar="NAME")
    parser.add_argument("--queries", type=int, default=60, metavar="N")
    parser.add_argument("--candidates", type=int, default=30, metavar="N")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--model", default="bundled")
    arguments = parser.parse_args()
    if absent := missing(arguments.collections):
        console.print(f"Not found: {', '.join(absent)}. Run benchmarks/source_lists.py first.")
        return 2
    reranker = Reranker(arguments.model)
    for name in arguments.collections:
        collection = load(name)
        documents = {document.id: document for document in collection.documents}
        listed = list(documents.values())
        bm25 = Bm25([f"{d.title or ''} {d.text}" for d in listed])
        queries = list(collection.queries.items())
        random.Random(arguments.seed).shuffle(queries)
        queries = queries[: arguments.queries]
        errors = []
        with progress_bar(f"{name}: questions", len(queries)) as advance:
            for query, question in queries:
                candidates = [listed[i] for i in bm25.top(question, arguments.candidates)]
                order = [
                    r.id for r in reranker.rerank(question, candidates, top_k=None).results
                ]
                labelled = {i for i, grade in collection.qrels[query].items() if grade > 0}
                if order[0] not in labelled:
                    ranks = [order.index(i) + 1 for i in labelled if i in order]
                    right = documents[min(labelled)]
                    errors.append((question, documents[order[0]], right, min(ranks, default=0)))
                advance(1)
        print(f"# {name}: {len(errors)} of {len(queries)} have another passage first\n")
        for question, first, right, rank in errors:
            print(f"question: {question[:SHOWN]}")
            print(f"first:    {first.title or ''} | {' '.join(first.text.split())[:SHOWN]}")
            place = f"rank {rank}" if rank else "not among the candidates"
            print(f"labelled: {right.title or ''} | {' '.join(right.text.split())[:SHOWN]}")
            print(f"          ({place})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
