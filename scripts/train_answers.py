"""Train what a precomputed reranker knows of answers, and put it into its folder.

    python scripts/train_answers.py sentences runs/spans/*.jsonl --also runs/statements.jsonl \\
        --model src/secondpass/models/bundled
    python scripts/train_answers.py documents runs/spans/squad.jsonl \\
        --model src/secondpass/models/bundled

The examples are made by `scripts/build_span_examples.py`. Documents of a tenth of the titles
of each file are held out: on them it is measured. Of the files of `--also` all is learned but
what has one of these titles. "sentences" writes spans.onnx, calibrated on
them. "documents" adds a scorer to the scores of model.onnx, and fits anew what depends on
these: the probabilities and the margin of early exit, on the questions of
`src/secondpass/models/calibration`. Updates secondpass.json and the list of files in the model
card. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
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
    ScoreExamples,
    SpanExample,
    SpanSettings,
    encode_examples,
    measure_scorer,
    read_labeled,
    score_sentences,
    score_texts,
    split_examples,
    train_scorer,
)
from secondpass.train.precomputed.answer_scorer import AnswerScorer
from secondpass.train.precomputed.early_exit import ScoredList, fit_early_exit, score_lists
from secondpass.train.precomputed.export_check import encode_texts
from secondpass.train.precomputed.sentence_scorer import SentenceScorer
from secondpass.train.precomputed.token_scorer import TokenScorerConfig, read_axes

# As in training: a right passage among so many, the hardest of all.
CALIBRATED = 16
MODEL = "model.onnx"
# Chosen on held-out lists, see docs/explanation/training-notes.md.
WEIGHT, LENGTH_POWER = 0.5, 0.5
DEFAULTS = {"units": 64, "dropout": 0.2, "epochs": 1.0}
DEFAULTS_OF_SENTENCES = {"units": 32, "dropout": 0.1, "epochs": 2.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    defaults = SpanSettings()
    parser.add_argument("what", choices=("sentences", "documents"))
    parser.add_argument("examples", type=Path, nargs="+")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="nothing held out")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--units", type=int, help="32 for sentences, 64 for documents")
    parser.add_argument("--dropout", type=float, help="0.1 for sentences, 0.2 for documents")
    parser.add_argument("--epochs", type=float, help="2 for sentences, 1 for documents")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--weight", type=float, default=WEIGHT, help="in a document's score")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    of_sentences = arguments.what == "sentences"
    for name, value in (DEFAULTS_OF_SENTENCES if of_sentences else DEFAULTS).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
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
        titles = {example.group for of_file in held_out.values() for example in of_file}
        for file in arguments.also:
            found, left_out[file.stem] = encode_examples(reranker, read_labeled(file), report)
            used += [example for example in found if example.group not in titles]
        torch.manual_seed(settings.seed)
        scorer, score = make_scorer(folder, used[0], arguments)
        scorer.use_axes(read_axes(folder.path / START))
        scorer.eval()
        every = [example for of_file in held_out.values() for example in of_file]
        before = {name: measure_scorer(score, e, SHARPNESS) for name, e in held_out.items()}
        loss = train_scorer(scorer, score, used, settings, report)
        after = {name: measure_scorer(score, e, SHARPNESS) for name, e in held_out.items()}
        measured = measure_scorer(score, every, SHARPNESS)
        fitted: dict[str, Any]
        if isinstance(scorer, SentenceScorer):
            graph, written = sentence_graph(scorer), SPANS
            store_constants_as_float16(graph)
            fitted = {
                "spans": {
                    "scale": measured.scale,
                    "shift": measured.shift,
                    "first_answers": round(measured.first_answers, 4),
                    "documents": measured.documents,
                }
            }
        else:
            graph, fitted = join_answers(folder, reranker, scorer, arguments.weight, report)
            written = MODEL
        # Written last: a fit that fails leaves the folder as it was.
        ir.save(graph, str(folder.path / written))
    manifest = dict(folder.manifest) | fitted
    # The files stay the last entry.
    files = {**manifest.pop("files")}
    file = folder.path / written
    files[written] = {"sha256": sha256(file), "bytes": file.stat().st_size}
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


def make_scorer(
    folder: ModelFolder, example: SpanExample, arguments: argparse.Namespace
) -> tuple[SentenceScorer | AnswerScorer, ScoreExamples]:
    """Return an untrained scorer for a reranker, and how it reads examples."""
    config = TokenScorerConfig(
        width=example.query_states.shape[1],
        hidden=len(example.query_embedding),
        codes=example.codes.shape[1],
        matching=int(folder.manifest["reader"]["matching"]),
        units=arguments.units,
    )
    if arguments.what == "sentences":
        sentences = SentenceScorer(config, arguments.dropout)
        return sentences, partial(score_sentences, sentences)
    answers = AnswerScorer(config, arguments.dropout)
    return answers, partial(score_texts, answers)


def join_answers(
    folder: ModelFolder,
    reranker: PrecomputedReranker,
    scorer: AnswerScorer,
    weight: float,
    progress: calibrate.Progress,
) -> tuple[ir.Model, dict[str, Any]]:
    """Return the graph with the scorer, and the entries of the manifest that depend on it."""
    model = ir.load(str(folder.path / MODEL))
    parameters = sum(p.numel() for p in scorer.parameters() if p.requires_grad)
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
        "answers": {
            "weight": weight,
            "length_power": LENGTH_POWER,
            "parameters": parameters,
        },
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
