"""Train the scorer of answers of a precomputed reranker, and put it into its folder.

    python scripts/train_answers.py runs/spans/*.jsonl --model src/secondpass/models/bundled

The examples are made by `scripts/build_span_examples.py`. Documents of a tenth of the titles
of each file are held out: on them it is measured, and on all of them together its scores of
sentences are calibrated. Writes spans.onnx, adds the same scorer to the scores of model.onnx,
and fits anew what depends on these: the probabilities and the margin of early exit, on the
questions of `src/secondpass/models/calibration`; with `--sentences-only` just the first.
Updates secondpass.json and the list of files in the model card. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from secondpass.evaluate.calibrators import PlattParameters, fit_platt
from secondpass.inference.model_folder import MANIFEST, ModelFolder, open_folder, sha256
from secondpass.models import calibration_pairs
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.folder import COMPRESS, SPANS, START
from secondpass.rerank.spans import SHARPNESS
from secondpass.train.export import calibrate, verify
from secondpass.train.export.model_card import replace_files
from secondpass.train.export.onnx_graph import store_constants_as_float16
from secondpass.train.precomputed.answer_graphs import add_answers, sentence_graph
from secondpass.train.precomputed.answer_learner import (
    SpanExample,
    SpanSettings,
    encode_examples,
    measure_scorer,
    read_labeled,
    split_examples,
    train_scorer,
)
from secondpass.train.precomputed.answer_scorer import (
    AnswerScorer,
    AnswerScorerConfig,
    read_axes,
)
from secondpass.train.precomputed.early_exit import ScoredList, fit_early_exit, score_lists
from secondpass.train.precomputed.export_check import encode_texts

# As in training: a right passage among so many, the hardest of all.
CALIBRATED = 16
MODEL = "model.onnx"
# Chosen on held-out lists, see docs/explanation/training-notes.md.
WEIGHT, LENGTH_POWER = 0.5, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    defaults = SpanSettings()
    parser.add_argument("examples", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--epochs", type=float, default=defaults.epochs)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--weight", type=float, default=WEIGHT, help="in a document's score")
    parser.add_argument(
        "--sentences-only", action="store_true", help="leave the scores of documents alone"
    )
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    folder = open_folder(arguments.model)
    reranker = PrecomputedReranker(folder, threads=arguments.threads)
    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("read")

        def report(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        settings = SpanSettings(epochs=arguments.epochs, seed=arguments.seed)
        used: list[SpanExample] = []
        held_out: dict[str, list[SpanExample]] = {}
        left_out: dict[str, int] = {}
        for file in arguments.examples:
            found, left_out[file.stem] = encode_examples(reranker, read_labeled(file), report)
            kept, held_out[file.stem] = split_examples(found, settings.hold_out, settings.seed)
            used += kept
        first = used[0]
        torch.manual_seed(settings.seed)
        config = AnswerScorerConfig(
            width=first.query_states.shape[1],
            hidden=len(first.query_embedding),
            codes=reranker.codes,
            matching=int(folder.manifest["reader"]["matching"]),
            units=arguments.units,
        )
        scorer = AnswerScorer(config, arguments.dropout)
        read_axes(folder.path / START, scorer)
        every = [example for of_file in held_out.values() for example in of_file]
        before = {name: measure_scorer(scorer, e, SHARPNESS) for name, e in held_out.items()}
        loss = train_scorer(scorer, used, settings, report)
        after = {name: measure_scorer(scorer, e, SHARPNESS) for name, e in held_out.items()}
        measured = measure_scorer(scorer, every, SHARPNESS)
        spans = sentence_graph(scorer)
        store_constants_as_float16(spans)
        fitted: dict[str, Any] = {}
        if not arguments.sentences_only:
            model, fitted = join_answers(folder, reranker, scorer, arguments.weight, report)
            ir.save(model, str(folder.path / MODEL))
        # Written last: a fit that fails leaves the folder as it was.
        ir.save(spans, str(folder.path / SPANS))
    manifest = dict(folder.manifest) | fitted
    manifest["spans"] = {
        "scale": measured.scale,
        "shift": measured.shift,
        "first_answers": round(measured.first_answers, 4),
        "documents": measured.documents,
    }
    if fitted:
        manifest["answers"] = {
            "weight": arguments.weight,
            "length_power": LENGTH_POWER,
            "parameters": sum(p.numel() for p in scorer.parameters() if p.requires_grad),
        }
    # The files stay the last entry.
    files = {**manifest.pop("files")}
    for name in (MODEL, SPANS):
        file = folder.path / name
        files[name] = {"sha256": sha256(file), "bytes": file.stat().st_size}
    manifest["files"] = dict(sorted(files.items()))
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder.path / MANIFEST).write_text(text, encoding="utf-8")
    card = folder.path / "README.md"
    card.write_text(replace_files(card.read_text("utf-8"), manifest["files"]), encoding="utf-8")
    print(
        json.dumps(
            {
                "examples": len(used),
                "left_out": left_out,
                "loss": round(loss, 4),
                "before": {name: asdict(found) for name, found in before.items()},
                "after": {name: asdict(found) for name, found in after.items()},
                **fitted,
            }
        )
    )


def join_answers(
    folder: ModelFolder,
    reranker: PrecomputedReranker,
    scorer: AnswerScorer,
    weight: float,
    progress: calibrate.Progress,
) -> tuple[ir.Model, dict[str, Any]]:
    """Return the graph with the scorer, and the entries of the manifest that depend on it."""
    model = ir.load(str(folder.path / MODEL))
    pairs = calibrate.read_pairs(calibration_pairs())
    compress = verify.make_graph_runner(ir.load(str(folder.path / COMPRESS)))
    texts = encode_texts(reranker.encoder, compress, pairs, reranker.max_length)
    start = verify.make_scorer(ir.load(str(folder.path / START)))
    earlier = score_lists(start, verify.make_scorer(model), texts, pairs, progress)
    add_answers(model, scorer, weight, LENGTH_POWER)
    lists = score_lists(start, verify.make_scorer(model), texts, pairs, progress)
    calibration = fit_line(lists)
    # These questions are easier than the held-out ones that the reranker was calibrated on. By
    # how much, its earlier scores tell.
    difference = float(folder.manifest["calibration"]["shift"]) - fit_line(earlier).shift
    scale, shift = calibration.scale, calibration.shift + difference
    return ir.external_data.load_to_model(model), {
        "calibration": {"scale": scale, "shift": shift},
        "exit": fit_early_exit(lists, (scale, shift)),
    }


def fit_line(lists: Sequence[ScoredList]) -> PlattParameters:
    """Return what makes log-odds of the scores, with the hardest candidates of each list."""
    hardest = [hardest_of(one) for one in lists]
    scores, right = (np.concatenate(columns) for columns in zip(*hardest, strict=True))
    fitted = fit_platt(scores, right)
    if fitted is None:
        raise SystemExit("the scores say nothing about which candidates are right")
    return fitted


def hardest_of(one: ScoredList) -> tuple[np.ndarray, np.ndarray]:
    """Return the final scores, and which are right, of the best early scores of a list."""
    first = np.argsort(-one.early, kind="stable")[:CALIBRATED]
    return one.final[first], one.right[first]


if __name__ == "__main__":
    main()
