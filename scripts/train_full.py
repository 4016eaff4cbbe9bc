"""The ceiling: how much a real cross-encoder, trained for an hour, adds to `bundled`.

    python scripts/build_span_examples.py …                    # runs/spans, see its help
    python benchmarks/source_lists.py                          # held-out queries
    python benchmarks/cross_encoder_ceiling.py lists runs/spans/*.jsonl    # 12 minutes
    python benchmarks/cross_encoder_ceiling.py train --minutes 60
    python benchmarks/cross_encoder_ceiling.py measure
    SECONDPASS_DATA=.cache/sources python benchmarks/cross_encoder_ceiling.py measure \\
        --collections medical

Query and passage are one sequence of all-MiniLM-L6-v2, whose lower layers stay as they are.
The lists are unfiltered results of BM25 and of the embedder (`ceiling/lists.py`), and the loss
asks which passage is right and which tokens answer (`ceiling/learner.py`). `train` writes a
folder of transformers every ten minutes, which `secondpass export` reads. `measure` reads the
first candidates of `bundled`, fused as by default, and adds the z-scores of the cross-encoder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import quality
import torch
from beir import ROOT, load
from ceiling.learner import BASE, Learner, Settings
from ceiling.lists import build_lists, read_lists, write_lists
from harness.embedder_key import embedder_key
from harness.pair_scores import PairScoreCache, PairScorer
from harness.progress import console, progress_bar
from harness.scored_collection import ScoredCollection, score_collection
from harness.suite import collection_settings
from numpy.typing import NDArray

from secondpass import Embedder
from secondpass.evaluate.blend_weights import standardize_columns, weighted_sum
from secondpass.evaluate.score_matrix import FloatArray, ScoreMatrix, ranked_ids
from secondpass.models import bundled_path
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS

ADDED = (0.0, 0.1, 0.3, 0.5, 0.8)
REPORT_STEPS = 25
SAVE_SECONDS = 600
BoolArray = NDArray[np.bool_]
# Below every z-score: what was not read stays behind what was.
UNREAD = -1e3


def lists(arguments: argparse.Namespace) -> None:
    """Write the training lists."""

    def report(stage: str, done: int, total: int) -> None:
        if done % 10_240 == 0 or done == total:
            console.print(f"{stage}: {done:,} of {total:,}", highlight=False)

    found, passages, left_out = build_lists(arguments.spans, report)
    write_lists(arguments.folder, found, passages)
    console.print(f"{len(found):,} lists, {len(passages):,} passages, left out: {left_out}")


def train(arguments: argparse.Namespace) -> None:
    """Train for so many minutes; the rates fall linearly to 0 at their end."""
    found, passages = read_lists(arguments.folder)
    settings = Settings()
    learner = Learner(passages, settings, arguments.base)
    learner.model.train()
    groups = learner.parameter_groups()
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98))
    trained = [parameter for group in groups for parameter in group["params"]]
    source, began, saved = learner.lists_forever(found), time.monotonic(), 0.0
    rates = [group["lr"] for group in groups]
    recent: list[list[float]] = []
    steps = 0
    while (elapsed := time.monotonic() - began) < arguments.minutes * 60:
        share = elapsed / (arguments.minutes * 60)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, share / settings.warm_up) * (1 - share)
        losses = learner.losses([next(source) for _ in range(settings.lists)])
        optimizer.zero_grad()
        learner.total(losses).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        steps += 1
        recent.append([float(torch.as_tensor(value).detach()) for value in losses])
        if steps % REPORT_STEPS == 0:
            alone, mixed, answers, first = np.mean(recent, axis=0)
            recent.clear()
            console.print(
                f"{elapsed:.0f} s, {steps * settings.lists * settings.passages:,} pairs: loss"
                f" {alone:.3f}, with cosine {mixed:.3f}, answers {answers:.3f}; right passage"
                f" first {first:.3f}",
                highlight=False,
            )
        if elapsed - saved > SAVE_SECONDS:
            saved = elapsed
            learner.save(arguments.model)
    learner.save(arguments.model)
    console.print(f"written to {arguments.model}")


def measure(arguments: argparse.Namespace) -> None:
    """Print nDCG@10 of `bundled` fused, and with the cross-encoder's z-scores added."""
    learner = Learner([], Settings(), str(arguments.model))
    learner.model.eval()
    print(
        "| collection | bundled | fused | cross-encoder | "
        + " | ".join(map(str, ADDED[1:]))
        + " |"
    )
    print("|---|---|---|---|" + "---|" * len(ADDED[1:]))
    for name in arguments.collections:
        scored, texts = _read(name, arguments.queries)
        pool = scored.pools["hybrid"]
        columns = standardize_columns(pool)
        fused = weighted_sum(columns, DEFAULT_WEIGHTS)
        read = _first(pool, fused, arguments.candidates)
        logits = _score(learner, pool, read, texts)
        below = np.where(read, 0.0, UNREAD)
        orders = [columns["rerank"], fused, logits + below]
        orders += [fused + weight * _standard(logits, read) + below for weight in ADDED[1:]]
        ranked = [ranked_ids(pool, order) for order in orders]
        means = [f"{np.mean(scored.evaluator.ndcg(ids)):.4f}" for ids in ranked]
        print(f"| {name} | " + " | ".join(means) + " |", flush=True)


def _read(name: str, queries: int | None) -> tuple[ScoredCollection, dict[str, str]]:
    """Return a collection scored by `bundled`, and the texts of queries and documents."""
    settings = collection_settings(name)
    collection = load(name, queries, settings.candidates_file, settings.qrels)
    embedder = Embedder()
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = embedder_key(embedder, tokenizer, quality.CACHE / "embedders.json")
    candidates = quality.load_candidates(collection, settings, embedder, key, depth=100)
    cache = PairScoreCache(quality.CACHE / "scores.sqlite")
    scorer = PairScorer("bundled", cache, states=quality.CACHE)
    scored = score_collection(collection, settings, candidates, scorer)
    cache.close()
    texts = {
        f"d{d.id}": f"{d.title}\n{d.text}" if d.title else d.text for d in collection.documents
    }
    return scored, texts | {f"q{name}": text for name, text in collection.queries.items()}


def _first(pool: ScoreMatrix, scores: FloatArray, count: int) -> BoolArray:
    """Return where the first candidates of each row are."""
    order = np.argsort(np.where(pool.mask, -scores, np.inf), axis=1, kind="stable")
    read = np.zeros_like(pool.mask)
    np.put_along_axis(read, order[:, :count], True, axis=1)
    return read & pool.mask


def _score(
    learner: Learner, pool: ScoreMatrix, read: BoolArray, texts: dict[str, str]
) -> FloatArray:
    """Return the cross-encoder's logits of the candidates that are read, 0 elsewhere."""
    logits = np.zeros(pool.mask.shape)
    with progress_bar("cross-encoder", len(pool.queries)) as advance:
        for row, (query, ids) in enumerate(zip(pool.queries, pool.ids, strict=True)):
            places = np.flatnonzero(read[row]).tolist()
            documents = [texts[f"d{ids[place]}"] for place in places]
            logits[row, places] = learner.score(texts[f"q{query}"], documents)
            advance(1)
    return logits


def _standard(values: FloatArray, read: BoolArray) -> FloatArray:
    """Return z-scores within each row of what was read."""
    kept = np.where(read, values, np.nan)
    deviation = np.maximum(np.nanstd(kept, axis=1, keepdims=True), 1e-9)
    return np.nan_to_num((kept - np.nanmean(kept, axis=1, keepdims=True)) / deviation)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "ceiling")
    parser.add_argument("--model", type=Path, default=ROOT / "runs" / "ceiling" / "model")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("lists", help="rank the training queries")
    command.add_argument("spans", type=Path, nargs="+", help="of build_span_examples.py")
    command.set_defaults(run=lists)
    command = commands.add_parser("train", help="train on the lists")
    command.add_argument("--minutes", type=float, default=60)
    command.add_argument("--base", default=BASE, help="a folder to go on from")
    command.set_defaults(run=train)
    command = commands.add_parser("measure", help="add its scores to those of bundled")
    command.add_argument(
        "--collections", nargs="+", default=["trec-dl19-rerank", "wikiqa-rerank", "scifact"]
    )
    command.add_argument("--queries", type=int, metavar="N", help="the first N of each")
    command.add_argument("--candidates", type=int, default=20, metavar="N")
    command.set_defaults(run=measure)
    parsed = parser.parse_args(arguments)
    parsed.run(parsed)


if __name__ == "__main__":
    main()
