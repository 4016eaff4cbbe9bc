"""The engines under test, one file each; a worker imports only the one it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol


class Engine(Protocol):
    """Scores texts for a query."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit for each text; several threads may call it at once."""
        ...


@dataclass(frozen=True)
class EngineSettings:
    """Settings of all engines: model files, threads, longest pair in tokens."""

    models: Path
    threads: int
    max_length: int


@dataclass(frozen=True)
class EngineEntry:
    """An engine's module and factory, and the description of its row.

    - `kind`: "ours", "peer", "loop" (a plain loop around a runtime), "index" (ours,
      another model, with stored document states) or "pruned" (ours, does not score all).
    - `torch`: whether PyTorch is in the process.
    """

    module: str
    factory: str
    kind: str
    about: str
    torch: bool = False

    @property
    def own(self) -> bool:
        """Whether it is secondpass."""
        return self.kind in ("ours", "pruned", "index")


TORCH = "sbert-torch"
OURS, OURS_ORT, OURS_OPENVINO = "secondpass", "secondpass-onnxruntime", "secondpass-openvino"
PRUNED = "secondpass-cascade"
KEPT, SEEN, NEW = "index-kept", "index-seen", "index-new"
_SBERT = "sentence_transformers_engine"
ENGINES: dict[str, EngineEntry] = {
    TORCH: EngineEntry(
        _SBERT, "torch", "peer", "sentence-transformers, torch, fp32", torch=True
    ),
    "sbert-onnx-o2": EngineEntry(
        _SBERT, "onnx_o2", "peer", "sentence-transformers, ONNX O2, fp32", torch=True
    ),
    "sbert-onnx-int8": EngineEntry(
        _SBERT, "onnx_int8", "peer", "sentence-transformers, ONNX dynamic int8", torch=True
    ),
    "sbert-openvino": EngineEntry(
        _SBERT, "openvino", "peer", "sentence-transformers, OpenVINO, fp32", torch=True
    ),
    "sbert-openvino-int8": EngineEntry(
        _SBERT,
        "openvino_int8",
        "peer",
        "sentence-transformers, OpenVINO static int8",
        torch=True,
    ),
    "sbert-openvino-w8": EngineEntry(
        _SBERT,
        "openvino_w8",
        "peer",
        "sentence-transformers, OpenVINO, int8 weights only",
        torch=True,
    ),
    "sbert-torch-bf16": EngineEntry(
        _SBERT, "torch_bf16", "peer", "sentence-transformers, torch, bf16", torch=True
    ),
    "sbert-torch-compiled": EngineEntry(
        _SBERT,
        "torch_compiled",
        "peer",
        "sentence-transformers, torch.compile, bf16",
        torch=True,
    ),
    "flashrank": EngineEntry("flashrank_engine", "build", "peer", "FlashRank, dynamic int8"),
    "fastembed": EngineEntry("fastembed_engine", "build", "peer", "fastembed, ONNX fp32"),
    "loop-fp32": EngineEntry("plain_loop", "fp32", "loop", "ONNX Runtime, plain loop, fp32"),
    "loop-our-int8": EngineEntry(
        "plain_loop", "our_int8", "loop", "ONNX Runtime, plain loop, our int8 graph"
    ),
    "secondpass-fp32": EngineEntry("secondpass_engine", "fp32", "ours", "secondpass, fp32"),
    OURS: EngineEntry("secondpass_engine", "int8", "ours", "secondpass, static int8"),
    OURS_ORT: EngineEntry(
        "secondpass_engine", "onnxruntime", "ours", "secondpass, static int8 in ONNX Runtime"
    ),
    OURS_OPENVINO: EngineEntry(
        "secondpass_engine", "openvino", "ours", "secondpass, static int8 on OpenVINO"
    ),
    PRUNED: EngineEntry(
        "secondpass_engine", "cascade", "pruned", "secondpass, static int8 after bundled-tiny"
    ),
    KEPT: EngineEntry(
        "index_engine", "kept", "index", "bundled reranker, states stored in an index"
    ),
    SEEN: EngineEntry("index_engine", "seen", "index", "bundled reranker, texts seen before"),
    NEW: EngineEntry("index_engine", "new", "index", "bundled reranker, texts never seen"),
}


class NotAvailableError(Exception):
    """An engine is not available here; the message says why."""


def build(name: str, settings: EngineSettings) -> Engine:
    """Load an engine; raises `NotAvailableError` if it is not installed."""
    entry = ENGINES[name]
    try:
        factory: Callable[[EngineSettings], Engine] = getattr(
            import_module(f"speed.engines.{entry.module}"), entry.factory
        )
        return factory(settings)
    except ImportError as error:
        raise NotAvailableError(f"not installed: {error}") from error
