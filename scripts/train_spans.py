"""Train the scorer of sentences of a precomputed reranker, and put it into its folder.

    python scripts/train_spans.py runs/spans.jsonl --model src/secondpass/models/bundled

The examples are made by `scripts/build_span_examples.py`. Documents of a tenth of the titles
are held out: on them it is measured and calibrated. Writes spans.onnx, its entry in
secondpass.json and the list of files in the model card. A few minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import onnx_ir as ir
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from secondpass.inference.model_folder import MANIFEST, open_folder, sha256
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.folder import SPANS, START
from secondpass.rerank.spans import SHARPNESS
from secondpass.train.export.model_card import replace_files
from secondpass.train.export.onnx_graph import store_constants_as_float16
from secondpass.train.precomputed.span_learner import (
    SpanSettings,
    encode_examples,
    measure_scorer,
    read_labeled,
    split_examples,
    train_scorer,
)
from secondpass.train.precomputed.span_scorer import (
    SpanScorer,
    SpanScorerConfig,
    read_matching,
    sentence_graph,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    defaults = SpanSettings()
    parser.add_argument("examples", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--epochs", type=float, default=defaults.epochs)
    parser.add_argument("--seed", type=int, default=defaults.seed)
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

        examples, left_out = encode_examples(reranker, read_labeled(arguments.examples), report)
        settings = SpanSettings(epochs=arguments.epochs, seed=arguments.seed)
        used, held_out = split_examples(examples, settings.hold_out, settings.seed)
        first = examples[0]
        torch.manual_seed(settings.seed)
        config = SpanScorerConfig(
            width=first.query_states.shape[1],
            hidden=len(first.query_embedding),
            codes=reranker.codes,
            matching=int(folder.manifest["reader"]["matching"]),
            units=arguments.units,
        )
        scorer = SpanScorer(config, arguments.dropout)
        read_matching(folder.path / START, scorer)
        before = measure_scorer(scorer, held_out, SHARPNESS)
        loss = train_scorer(scorer, used, settings, report)
        after = measure_scorer(scorer, held_out, SHARPNESS)
    graph = sentence_graph(scorer)
    store_constants_as_float16(graph)
    ir.save(graph, str(folder.path / SPANS))
    file = folder.path / SPANS
    manifest = dict(folder.manifest)
    manifest["spans"] = {
        "scale": after.scale,
        "shift": after.shift,
        "first_answers": round(after.first_answers, 4),
        "documents": after.documents,
    }
    entry = {"sha256": sha256(file), "bytes": file.stat().st_size}
    manifest["files"] = dict(sorted({**manifest["files"], SPANS: entry}.items()))
    # The files stay the last entry.
    manifest["files"] = manifest.pop("files")
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
                "before": asdict(before),
                "after": asdict(after),
            }
        )
    )


if __name__ == "__main__":
    main()
