"""ONNX Runtime in the loop that anyone would write first.

Batches of 32 in the order given, padded to their longest; pairs cut at `max_length` from
whichever of the two is longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

from speed.engines import Setting

BATCH = 32


class PlainLoop:
    """One session, one tokenizer."""

    def __init__(self, setting: Setting, graph: Path, tokenizer: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.log_severity_level = 3
        self._session = ort.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(setting.max_length)
        self._tokenizer.enable_padding()

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit a text, in the order of the texts."""
        logits: list[float] = []
        for start in range(0, len(texts), BATCH):
            pairs = [(query, text) for text in texts[start : start + BATCH]]
            read = self._tokenizer.encode_batch(pairs)
            feeds = {
                "input_ids": np.array([e.ids for e in read], dtype=np.int64),
                "attention_mask": np.array([e.attention_mask for e in read], dtype=np.int64),
                "token_type_ids": np.array([e.type_ids for e in read], dtype=np.int64),
            }
            (found,) = self._session.run(["logits"], feeds)
            logits += found[:, 0].tolist()
        return logits


def fp32(setting: Setting) -> PlainLoop:
    folder = setting.models / "sbert-onnx"
    return PlainLoop(setting, folder / "onnx" / "model.onnx", folder / "tokenizer.json")


def our_int8(setting: Setting) -> PlainLoop:
    folder = setting.models / "secondpass-int8"
    return PlainLoop(setting, folder / "model.onnx", folder / "tokenizer.json")
