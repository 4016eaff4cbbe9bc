"""What each part of the int8 recipe is worth: errors on questions not calibrated on.

python benchmarks/quantization_recipes.py SOURCE [--kind embedder]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx_ir as ir

from secondpass.inference.tokenizer import Tokenizer
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

PAIRS = Path(__file__).resolve().parents[1] / "examples" / "calibration" / "pairs.jsonl"
RECIPES = {
    "rounding only": QuantizationRecipe(strength=None, compensate=False),
    "channels evened out": QuantizationRecipe(compensate=False),
    "rounding compensated": QuantizationRecipe(strength=None),
    "both (what export does)": DEFAULT_RECIPE,
    "both, half as strong": QuantizationRecipe(strength=0.5),
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
    tokeniser = Tokenizer(folder / "tokenizer.json")
    graph = trace(load_model(folder, args.kind), args.kind)
    keep_first_token(graph)
    original = ir.to_proto(graph)

    def sequences(pairs: list[calibrate.Pair]) -> list[calibrate.TokenSequence]:
        if args.kind == "cross-encoder":
            return calibrate.pair_sequences(tokeniser, pairs, args.max_length)
        texts = dict.fromkeys(text for pair in pairs for text in (pair.query, pair.text))
        return calibrate.text_sequences(tokeniser, texts, args.max_length)

    used, held_out = (sequences(p) for p in calibrate.split(calibrate.read_pairs(PAIRS)))
    names = [str(one.name) for one in graph.graph.inputs]
    seen = calibrate.observe(
        graph,
        linear_layer_inputs(graph.graph),
        [calibrate.feeds(sequence, names) for sequence in used],
    )

    def outputs(model: ir.Model) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        scorer = verify.scorer(model)
        rows = [scorer.run(calibrate.feeds(s, scorer.names)) for s in held_out]
        return np.concatenate(rows).astype(np.float64)

    exact = outputs(graph)
    what = "logit error" if args.kind == "cross-encoder" else "1 - cosine"
    print(f"| recipe | {what}, mean | p95 | largest |\n|---|---|---|---|")
    for name, recipe in RECIPES.items():
        model = ir.from_proto(original)
        quantize(model, seen, recipe=recipe)
        found = outputs(model)
        error = np.abs(found - exact)[:, 0]
        if args.kind == "embedder":
            error = 1 - (found * exact).sum(axis=1)
        p95 = np.quantile(error, 0.95)
        print(f"| {name} | {error.mean():.4f} | {p95:.4f} | {error.max():.4f} |", flush=True)


if __name__ == "__main__":
    main()
