"""sentence-transformers' CrossEncoder on each of its CPU backends.

Sorts by the number of characters, batches of 32 padded to their longest, pairs truncated at
`max_length` from the longer of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch as torch_library
from sentence_transformers import CrossEncoder

from speed.engines import EngineSettings


class SentenceTransformers:
    """Calls `predict` with its defaults, without an activation function."""

    def __init__(self, settings: EngineSettings, folder: str, **options: Any) -> None:
        torch_library.set_num_threads(settings.threads)
        self._identity = torch_library.nn.Identity()
        self._model = CrossEncoder(
            str(settings.models / folder),
            device="cpu",
            max_length=settings.max_length,
            local_files_only=True,
            **options,
        )

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit for each text."""
        pairs = [(query, text) for text in texts]
        logits = self._model.predict(
            pairs, activation_fn=self._identity, show_progress_bar=False
        )
        return [float(value) for value in logits]

    def compile(self) -> None:
        """Compile the network in place, at two lengths, so that no later one is compiled."""
        self._model.model.compile(dynamic=True)
        for length in (8, 200):
            self.score("a query", ["word " * length] * 3)


def torch(settings: EngineSettings) -> SentenceTransformers:
    return SentenceTransformers(settings, "weights")


def torch_bf16(settings: EngineSettings) -> SentenceTransformers:
    options = {"dtype": torch_library.bfloat16}
    return SentenceTransformers(settings, "weights", model_kwargs=options)


def torch_compiled(settings: EngineSettings) -> SentenceTransformers:
    """Compile the network by Inductor, which needs a C++ compiler, for all lengths at once."""
    engine = torch_bf16(settings)
    engine.compile()
    return engine


def _onnx(settings: EngineSettings, file: str) -> SentenceTransformers:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.threads
    model_options = {
        "provider": "CPUExecutionProvider",
        "file_name": f"onnx/{file}",
        "session_options": options,
    }
    return SentenceTransformers(
        settings, "sbert-onnx", backend="onnx", model_kwargs=model_options
    )


def onnx_o2(settings: EngineSettings) -> SentenceTransformers:
    return _onnx(settings, "model_O2.onnx")


def onnx_int8(settings: EngineSettings) -> SentenceTransformers:
    return _onnx(settings, "model_int8.onnx")


def _openvino(settings: EngineSettings, folder: str) -> SentenceTransformers:
    model_options = {"ov_config": {"INFERENCE_NUM_THREADS": settings.threads}}
    return SentenceTransformers(
        settings, folder, backend="openvino", model_kwargs=model_options
    )


def openvino(settings: EngineSettings) -> SentenceTransformers:
    return _openvino(settings, "sbert-openvino")


def openvino_w8(settings: EngineSettings) -> SentenceTransformers:
    return _openvino(settings, "sbert-openvino-w8")


def openvino_int8(settings: EngineSettings) -> SentenceTransformers:
    return _openvino(settings, "sbert-openvino-int8")
