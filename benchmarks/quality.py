"""nDCG@10 and recall@50 of each stage, on public test collections.

    python benchmarks/quality.py                        # all four collections
    python benchmarks/quality.py --collections sample   # the one that the repository ships
    python benchmarks/quality.py --write                # and put the table into the docs

The collections lie in $SECONDPASS_DATA/eval in BEIR layout; see benchmarks/README.md.
Vectors and indexes are kept in .cache/quality (--fresh makes them again).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import ir_measures
import numpy as np
from beir import DATA, ROOT, Collection, load, missing
from ir_measures import R, nDCG
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from stages import CONTROL, Remembering, Stage, from_index, from_runs

import secondpass
from secondpass import Embedder, Index, Reranker

GIVEN = {"trec-dl19-rerank": "BM25.trec"}
DEFAULT = ["scifact", "nfcorpus", "cranfield", "trec-dl19-rerank"]
RELEVANT = {"trec-dl19-rerank": 2}
BARS = {
    ("scifact", "BM25"): (0.665, 0.679),
    ("nfcorpus", "BM25"): (0.322, 0.325),
    ("scifact", "vector"): (0.645, 0.645),
    ("nfcorpus", "vector"): (0.316, 0.316),
    ("trec-dl19-rerank", "BM25 (given)"): (0.5058, 0.5058),
}
TOLERANCE = 0.01
PAGE = ROOT / "docs" / "explanation" / "quality.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
console = Console(stderr=True)


@dataclass
class Row:
    """One stage on one collection.

    `p` is of its difference from the first pass (hybrid, or the given order), `p_control` of
    that from the blend without a reranker.
    """

    collection: str
    stage: str
    queries: int
    ndcg10: float
    recall50: float
    p: float | None
    p_control: float | None
    milliseconds: float


@contextmanager
def bar(title: str, total: int) -> Iterator[Progress]:
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        progress.add_task(title, total=total)
        yield progress


def open_index(collection: Collection, embedder: Embedder, fresh: bool) -> Index:
    """Return the collection's index, from the cache if it was completed before."""
    where = ROOT / ".cache" / "quality" / f"{collection.name}-{embedder.digest[:12]}"
    done = where.with_suffix(".done")
    if fresh or not done.is_file():
        done.unlink(missing_ok=True)
        shutil.rmtree(where, ignore_errors=True)
    where.parent.mkdir(parents=True, exist_ok=True)
    index = Index.open(where, embedder=embedder)
    if not done.is_file():
        total = len(collection.documents)
        with bar(f"{collection.name}: indexing", total) as progress:
            index.add(
                collection.documents,
                progress=lambda n: progress.advance(progress.task_ids[0], n),
            )
        index.optimize()
        done.write_text(f"{total}\n", "utf-8")
    return index


def measure(collection: Collection, stages: list[Stage], baseline: str) -> list[Row]:
    """Run every stage over every query and compare each with `baseline`."""
    gains, recalls, spent = {}, {}, {}
    recall = R(rel=RELEVANT.get(collection.name, 1)) @ 50
    qrels = [
        ir_measures.Qrel(query, document, grade)
        for query, judged in collection.qrels.items()
        for document, grade in judged.items()
    ]
    for stage in stages:
        run, times = [], []
        with bar(f"{collection.name}: {stage.name}", len(collection.queries)) as progress:
            for query, question in collection.queries.items():
                found, milliseconds = stage.search(query, question)
                run += [ir_measures.ScoredDoc(query, name, score) for name, score in found]
                times.append(milliseconds)
                progress.advance(progress.task_ids[0])
        values = {str(nDCG @ 10): {}, str(recall): {}}
        for metric in ir_measures.iter_calc([nDCG @ 10, recall], qrels, run):
            values[str(metric.measure)][metric.query_id] = metric.value
        order = list(collection.queries)
        gains[stage.name] = np.array([values[str(nDCG @ 10)].get(q, 0.0) for q in order])
        recalls[stage.name] = float(np.mean([values[str(recall)].get(q, 0.0) for q in order]))
        spent[stage.name] = statistics.median(times)
    control = next((stage.name for stage in stages if stage.name.endswith(CONTROL)), None)

    def against(name: str, other: str | None) -> float | None:
        if other is None or name == other:
            return None
        return randomisation_test(gains[name] - gains[other])

    return [
        Row(
            collection.name,
            stage.name,
            len(collection.queries),
            float(gains[stage.name].mean()),
            recalls[stage.name],
            against(stage.name, baseline),
            against(stage.name, control),
            spent[stage.name],
        )
        for stage in stages
    ]


def randomisation_test(differences: np.ndarray, rounds: int = 20_000) -> float:
    """Return the two-sided p-value of paired differences, by flipping their signs.

    Fisher's randomisation test as in Smucker et al., CIKM 2007; seeded, never 0.
    """
    chooser = np.random.default_rng(0)
    seen = abs(differences.mean())
    beyond = 0
    for _ in range(rounds // 1000):
        signs = chooser.choice((-1.0, 1.0), size=(1000, len(differences)))
        beyond += int((abs((signs * differences).mean(axis=1)) >= seen - 1e-12).sum())
    return (beyond + 1) / (rounds + 1)


def markdown(rows: list[Row], candidates: int, model: str) -> str:
    """Return the table with the line that says how it was made."""
    lines = [
        "| collection | stage | nDCG@10 | recall@50 | p first | p blend | ms/query |",
        "|---|---|---|---|---|---|---|",
    ]
    previous = ""
    for row in rows:
        name = "" if row.collection == previous else f"{row.collection} ({row.queries})"
        previous = row.collection
        time = f"{row.milliseconds:.0f}" if row.milliseconds else "-"
        lines.append(
            f"| {name} | {row.stage} | {row.ndcg10:.3f} | {row.recall50:.3f} "
            f"| {_shown(row.p)} | {_shown(row.p_control)} | {time} |"
        )
    lines += [
        "",
        f"secondpass {secondpass.__version__}, model {model}, {candidates} candidates,"
        f" {date.today().isoformat()}. In brackets: questions. p: paired randomisation test of"
        " nDCG@10 against the first pass (hybrid, or the given order) and against the blend"
        " without a reranker. ms/query: median on the machine that made the table.",
    ]
    return "\n".join(lines)


def _shown(p: float | None) -> str:
    return "-" if p is None else f"{p:.3f}" if p >= 0.001 else "< .001"


def check_bars(rows: list[Row]) -> bool:
    """Say which published figures were met, and return whether all were."""
    fine = True
    for row in rows:
        if (row.collection, row.stage) in BARS:
            low, high = BARS[row.collection, row.stage]
            met = low - TOLERANCE <= row.ndcg10 <= high + TOLERANCE
            fine = fine and met
            published = f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"
            console.print(
                f"{'met   ' if met else 'MISSED'} {row.collection} {row.stage}:"
                f" {row.ndcg10:.4f}, published {published}, tolerance {TOLERANCE}"
            )
    return fine


def write(table: str) -> None:
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", "utf-8")
    console.print(f"Written to {PAGE.relative_to(ROOT)}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=DEFAULT, metavar="NAME")
    parser.add_argument("--queries", type=int, metavar="N", help="only the first N questions")
    parser.add_argument("--candidates", type=int, default=50, metavar="N")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--no-rerank", action="store_true", help="only the first stage")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--markdown", action="store_true", help="print only the table")
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    parser.add_argument("--fresh", action="store_true", help="index again")
    arguments = parser.parse_args()
    absent = missing(arguments.collections)
    if absent:
        console.print(
            f"Not found in {DATA / 'eval'}: {', '.join(absent)}.\n"
            "Set SECONDPASS_DATA to a folder with eval/NAME/corpus.jsonl, queries.jsonl and"
            " qrels/test.tsv (BEIR layout, gzip allowed), or try what is here:"
            " python benchmarks/quality.py --collections sample",
            soft_wrap=True,
        )
        return 2
    embedder, rows = Embedder(), []
    for name in arguments.collections:
        reranker = Remembering(Reranker(arguments.model))
        collection = load(name, arguments.queries, GIVEN.get(name))
        if collection.runs:
            stages = from_runs(collection, embedder, reranker, arguments.candidates)
            stages = stages[:1] if arguments.no_rerank else stages
            rows += measure(collection, stages, stages[0].name)
        else:
            with open_index(collection, embedder, arguments.fresh) as index:
                stages = from_index(index, reranker, arguments.candidates)
                stages = stages[:3] if arguments.no_rerank else stages
                rows += measure(collection, stages, "hybrid")
        if arguments.json is not None:  # after each collection: a run takes an hour
            dump = json.dumps([asdict(row) for row in rows], indent=1)
            arguments.json.write_text(dump, "utf-8")
    table = markdown(rows, arguments.candidates, arguments.model)
    print(table)
    if arguments.write:
        write(table)
    if arguments.markdown or arguments.queries is not None:
        return 0
    return 0 if check_bars(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
