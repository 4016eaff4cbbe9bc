"""Fit the margins of the package's cascades, and store them.

    python scripts/fit_cascade.py runs/mined                      # print the fit
    python scripts/fit_cascade.py runs/mined --write              # and write it to margins.json
    python scripts/fit_cascade.py runs/mined --confidence 0.95    # another target

The folder is one that `secondpass mine` wrote. Its held-out queries are searched (hybrid) in an
index of their passages, and both models score the candidates. No judgments are used: the margin
says when the cheap model would rule out what the full one ranks on top. Run it again whenever
one of the models changes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from secondpass import Document, Index
from secondpass.composition import CHEAP
from secondpass.registry import load_reranker
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.cascade import MARGINS_FILE, Margin, fit_margin, survivors
from secondpass.train.data.files import read_examples, split_groups
from secondpass.train.trainer.settings import TrainSettings

Lists = list[list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cheap", default=CHEAP)
    parser.add_argument("--full", default="bundled")
    parser.add_argument("--k", type=int, default=10)
    targets = parser.add_mutually_exclusive_group()
    targets.add_argument(
        "--lost", type=float, help="share of the top k lost, on average; default 0.05"
    )
    targets.add_argument(
        "--confidence", type=float, help="probability that all of the top k is kept"
    )
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.confidence is None and arguments.lost is None:
        arguments.lost = 0.05
    cheap, full = load_reranker(arguments.cheap), load_reranker(arguments.full)
    queries, documents = held_out(arguments.folder, arguments.queries)
    scores = score_candidates(queries, documents, cheap, full, arguments.candidates)
    target = {"k": arguments.k, "confidence": arguments.confidence, "lost": arguments.lost}
    margin = fit_margin(*scores, **target)
    share = kept_share(scores[0], margin)
    print(f"{margin}: {share:.1%} of candidates pass")
    # For comparison, a margin in standard deviations of the query's scores.
    deviations = [
        [s / statistics.pstdev(query_scores) for s in query_scores]
        for query_scores in scores[0]
    ]
    deviation_margin = fit_margin(deviations, scores[1], **target)
    share_by_deviations = kept_share(deviations, deviation_margin)
    print(
        f"in standard deviations: {deviation_margin.value:.3f}, {share_by_deviations:.1%} pass"
    )
    if arguments.write:
        write(margin, share, cheap, full, arguments)
        print(f"written: {MARGINS_FILE}")
    return 0


def held_out(folder: Path, count: int) -> tuple[list[str], list[Document]]:
    """Return held-out queries, and the passages of their groups."""
    settings = TrainSettings()
    examples = split_groups(read_examples(folder), settings.hold_out, settings.seed)[1]
    groups = list(examples.groups)
    random.Random(settings.seed).shuffle(groups)
    groups = groups[:count]
    indices = {p for group in groups for p in (*group.positives, *group.negatives)}
    documents = [Document(examples.passages[p], id=str(p)) for p in sorted(indices)]
    return [group.query for group in groups], documents


def score_candidates(
    queries: list[str],
    documents: list[Document],
    cheap: BaseReranker,
    full: BaseReranker,
    candidates: int,
) -> tuple[Lists, Lists]:
    """Return both models' scores of the candidates of each query."""
    scores: tuple[Lists, Lists] = ([], [])
    with TemporaryDirectory() as folder, Index.open(Path(folder) / "index") as index:
        done = 0

        def show(new: int) -> None:
            nonlocal done
            done += new
            print(f"\rindexed {done} of {len(documents)}", end="", file=sys.stderr)

        index.add(documents, progress=show)
        for number, query in enumerate(queries, start=1):
            print(f"\rsearched {number} of {len(queries)} ", end="", file=sys.stderr)
            for lists, reranker in zip(scores, (cheap, full), strict=True):
                response = index.search(
                    query, rerank=reranker, blend=False, candidates=candidates, top_k=None
                )
                lists.append([r.score for r in sorted(response.results, key=lambda r: r.index)])
    print(file=sys.stderr)
    return scores


def kept_share(cheap: Lists, margin: Margin) -> float:
    """Return the share of all candidates that the margin does not rule out."""
    kept = sum(len(survivors(query_scores, margin)) for query_scores in cheap)
    return kept / sum(map(len, cheap))


def write(
    margin: Margin,
    share: float,
    cheap: BaseReranker,
    full: BaseReranker,
    arguments: argparse.Namespace,
) -> None:
    """Write a margin to the file of known ones, replacing one for models of these names."""
    rows = json.loads(MARGINS_FILE.read_text("utf-8")) if MARGINS_FILE.is_file() else []
    names = (arguments.cheap, arguments.full)
    rows = [r for r in rows if (r["cheap"]["name"], r["full"]["name"]) != names]
    data = (arguments.folder / "groups.jsonl").read_bytes()
    row = {
        "cheap": {"name": arguments.cheap, "identity": cheap.identity},
        "full": {"name": arguments.full, "identity": full.identity},
        "margin": margin.value,
        "k": margin.k,
        "confidence": margin.confidence,
        "lost": margin.lost,
        "queries": margin.queries,
        "candidates": arguments.candidates,
        "go_on": round(share, 3),
        "data": {
            "what": "mined training groups, the queries that training held out",
            "sha256": hashlib.sha256(data).hexdigest(),
        },
    }
    MARGINS_FILE.write_text(json.dumps([*rows, row], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
