"""The engines under test, one file each; a worker imports only the one it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol


class Engine(Protocol):
    """Scores texts for a query: logits in the order of the texts."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one logit a text; called by several threads where clients are several."""
        ...


@dataclass(frozen=True)
class Setting:
    """What all engines have in common: prepared files, threads, longest pair in tokens."""

    models: Path
    threads: int
    max_length: int


@dataclass(frozen=True)
class Entry:
    """An engine's module and factory, and what to know when reading its row.

    - `kind`: "ours", "peer", "loop" (no product, a plain loop), "index" (ours, another
      model that keeps what it read) or "pruned" (ours, does not score all).
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
ENGINES: dict[str, Entry] = {
    TORCH: Entry(_SBERT, "torch", "peer", "sentence-transformers, torch, fp32", torch=True),
    "sbert-onnx-o2": Entry(
        _SBERT, "onnx_o2", "peer", "sentence-transformers, ONNX O2, fp32", torch=True
    ),
    "sbert-onnx-int8": Entry(
        _SBERT, "onnx_int8", "peer", "sentence-transformers, ONNX dynamic int8", torch=True
    ),
    "sbert-openvino": Entry(
        _SBERT, "openvino", "peer", "sentence-transformers, OpenVINO, fp32", torch=True
    ),
    "sbert-openvino-int8": Entry(
        _SBERT,
        "openvino_int8",
        "peer",
        "sentence-transformers, OpenVINO static int8",
        torch=True,
    ),
    "flashrank": Entry("flashrank_engine", "build", "peer", "FlashRank, dynamic int8"),
    "fastembed": Entry("fastembed_engine", "build", "peer", "fastembed, ONNX fp32"),
    "loop-fp32": Entry("plain_loop", "fp32", "loop", "ONNX Runtime, plain loop, fp32"),
    "loop-our-int8": Entry(
        "plain_loop", "our_int8", "loop", "ONNX Runtime, plain loop, our int8 graph"
    ),
    "secondpass-fp32": Entry("secondpass_engine", "fp32", "ours", "secondpass, fp32"),
    OURS: Entry("secondpass_engine", "int8", "ours", "secondpass, static int8"),
    OURS_ORT: Entry(
        "secondpass_engine", "onnxruntime", "ours", "secondpass, static int8 in ONNX Runtime"
    ),
    OURS_OPENVINO: Entry(
        "secondpass_engine", "openvino", "ours", "secondpass, static int8 on OpenVINO"
    ),
    PRUNED: Entry(
        "secondpass_engine", "cascade", "pruned", "secondpass, static int8 after bundled-tiny"
    ),
    KEPT: Entry("index_engine", "kept", "index", "secondpass reader, states kept in an index"),
    SEEN: Entry("index_engine", "seen", "index", "secondpass reader, texts seen before"),
    NEW: Entry("index_engine", "new", "index", "secondpass reader, texts never seen"),
}


class NotAvailableError(Exception):
    """An engine cannot take part here; the message says why."""


def build(name: str, setting: Setting) -> Engine:
    """Load an engine; raises `NotAvailableError` where it is not installed."""
    entry = ENGINES[name]
    try:
        factory: Callable[[Setting], Engine] = getattr(
            import_module(f"speed.engines.{entry.module}"), entry.factory
        )
        return factory(setting)
    except ImportError as error:
        raise NotAvailableError(f"not installed: {error}") from error
