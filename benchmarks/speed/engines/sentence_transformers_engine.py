"""sentence-transformers' CrossEncoder on each of its CPU backends.

Sorts by the number of characters, batches of 32 padded to their longest, pairs cut at
`max_length` from whichever of the two is longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch as torch_library
from sentence_transformers import CrossEncoder

from speed.engines import Setting


class SentenceTransformers:
    """Calls `predict` with all its defaults, the logits left as they are."""

    def __init__(self, setting: Setting, folder: str, **how: Any) -> None:
        torch_library.set_num_threads(setting.threads)
        self._identity = torch_library.nn.Identity()
        self._model = CrossEncoder(
            str(setting.models / folder),
            device="cpu",
            max_length=setting.max_length,
            local_files_only=True,
            **how,
        )

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit a text, in the order of the texts."""
        pairs = [(query, text) for text in texts]
        found = self._model.predict(
            pairs, activation_fn=self._identity, show_progress_bar=False
        )
        return [float(value) for value in found]


def torch(setting: Setting) -> SentenceTransformers:
    return SentenceTransformers(setting, "weights")


def _onnx(setting: Setting, file: str) -> SentenceTransformers:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = setting.threads
    how = {
        "provider": "CPUExecutionProvider",
        "file_name": f"onnx/{file}",
        "session_options": options,
    }
    return SentenceTransformers(setting, "sbert-onnx", backend="onnx", model_kwargs=how)


def onnx_o2(setting: Setting) -> SentenceTransformers:
    return _onnx(setting, "model_O2.onnx")


def onnx_int8(setting: Setting) -> SentenceTransformers:
    return _onnx(setting, "model_int8.onnx")


def _openvino(setting: Setting, folder: str) -> SentenceTransformers:
    how = {"ov_config": {"INFERENCE_NUM_THREADS": setting.threads}}
    return SentenceTransformers(setting, folder, backend="openvino", model_kwargs=how)


def openvino(setting: Setting) -> SentenceTransformers:
    return _openvino(setting, "sbert-openvino")


def openvino_int8(setting: Setting) -> SentenceTransformers:
    return _openvino(setting, "sbert-openvino-int8")
