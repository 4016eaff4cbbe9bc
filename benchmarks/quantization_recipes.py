"""The effect of each part of the int8 recipe: errors on held-out questions.

python benchmarks/quantization_recipes.py SOURCE [--kind embedder]
"""

from __future__ import annotations

import argparse

import numpy as np
import onnx_ir as ir

from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.models import calibration_pairs
from secondpass.train.export import calibrate, verify
from secondpass.train.export.onnx_graph import keep_first_token
from secondpass.train.export.quantize import (
    DEFAULT_RECIPE,
    QuantizationRecipe,
    linear_layer_inputs,
    quantize,
)
from secondpass.train.export.source import locate_source
from secondpass.train.export.trace import load_model, trace

PAIRS = calibration_pairs()
RECIPES = {
    "rounding only": QuantizationRecipe(strength=None, compensate=False),
    "smoothing": QuantizationRecipe(compensate=False),
    "error compensation": QuantizationRecipe(strength=None),
    "both (what export does)": DEFAULT_RECIPE,
    "both, weaker smoothing": QuantizationRecipe(strength=0.5),
    "both, weights of 8 bits": QuantizationRecipe(weight_level=127),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source")
    parser.add_argument(
        "--kind", choices=("cross-encoder", "embedder"), default="cross-encoder"
    )
    parser.add_argument("--max-length", type=int, default=224)
    args = parser.parse_args()
    folder = locate_source(args.source)
    tokenizer = Tokenizer(folder / "tokenizer.json")
    graph = trace(load_model(folder, args.kind), args.kind)
    keep_first_token(graph)
    original = ir.to_proto(graph)

    def sequences(pairs: list[calibrate.Pair]) -> list[TokenSequence]:
        if args.kind == "cross-encoder":
            return calibrate.pair_sequences(tokenizer, pairs, args.max_length)
        texts = dict.fromkeys(text for pair in pairs for text in (pair.query, pair.text))
        return calibrate.text_sequences(tokenizer, texts, args.max_length)

    calibration, held_out = (
        sequences(p) for p in calibrate.split_pairs(calibrate.read_pairs(PAIRS))
    )
    names = [str(value.name) for value in graph.graph.inputs]
    activations = calibrate.record_activations(
        graph,
        linear_layer_inputs(graph.graph),
        [calibrate.sequence_feeds(sequence, names) for sequence in calibration],
    )

    def outputs(model: ir.Model) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        scorer = verify.make_scorer(model)
        rows = [scorer.run(calibrate.sequence_feeds(s, scorer.names)) for s in held_out]
        return np.concatenate(rows).astype(np.float64)

    exact = outputs(graph)
    what = "logit error" if args.kind == "cross-encoder" else "1 - cosine"
    print(f"| recipe | {what}, mean | p95 | largest |\n|---|---|---|---|")
    for name, recipe in RECIPES.items():
        model = ir.from_proto(original)
        quantize(model, activations, recipe=recipe)
        changed_outputs = outputs(model)
        error = np.abs(changed_outputs - exact)[:, 0]
        if args.kind == "embedder":
            error = 1 - (changed_outputs * exact).sum(axis=1)
        p95 = np.quantile(error, 0.95)
        print(f"| {name} | {error.mean():.4f} | {p95:.4f} | {error.max():.4f} |", flush=True)


if __name__ == "__main__":
    main()
