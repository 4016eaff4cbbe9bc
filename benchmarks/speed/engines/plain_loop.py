"""ONNX Runtime in the simplest loop.

Batches of 32 in the original order, padded to their longest; pairs are truncated at
`max_length` from the longer of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from speed.engines import EngineSettings

BATCH = 32


class PlainLoop:
    """One session, one tokenizer."""

    def __init__(self, settings: EngineSettings, graph: Path, tokenizer: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.log_severity_level = 3
        self._session = ort.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(settings.max_length)
        self._tokenizer.enable_padding()

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit for each text."""
        logits: list[float] = []
        for start in range(0, len(texts), BATCH):
            pairs = [(query, text) for text in texts[start : start + BATCH]]
            encoded = self._tokenizer.encode_batch(pairs)
            feeds = {
                "input_ids": np.array([e.ids for e in encoded], dtype=np.int64),
                "attention_mask": np.array([e.attention_mask for e in encoded], dtype=np.int64),
                "token_type_ids": np.array([e.type_ids for e in encoded], dtype=np.int64),
            }
            (outputs,) = self._session.run(["logits"], feeds)
            logits += outputs[:, 0].tolist()
        return logits


def fp32(settings: EngineSettings) -> PlainLoop:
    folder = settings.models / "sbert-onnx"
    return PlainLoop(settings, folder / "onnx" / "model.onnx", folder / "tokenizer.json")


def our_int8(settings: EngineSettings) -> PlainLoop:
    folder = settings.models / "secondpass-int8"
    return PlainLoop(settings, folder / "model.onnx", folder / "tokenizer.json")
