"""Native runtime: runs an encoder in the compiled library, as a `Runtime`."""

from __future__ import annotations

import ctypes
import math
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelError
from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.native.encoder import Classifier, Encoder, GraphMismatch
from secondpass.inference.native.graph_match import find_encoder
from secondpass.inference.native.library import Library, load_library
from secondpass.inference.native.model import CompiledModel, plain_norm
from secondpass.inference.native.onnx_file import Table, UnreadableGraph, read_graph
from secondpass.inference.types import BaseRuntime, Feeds, Float32

_BAD_INPUT = 2
_ACTIVATIONS = {None: 0, "Tanh": 1, "Gelu": 2, "Relu": 3}
"""What a small layer of C is bent by."""
_MODEL_TYPES = frozenset(
    ("bert", "camembert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")
)
_MAX_TOKENS = 8192
"""The longest sequence of a model that does not say how many positions it has."""


class _Sequence(ctypes.Structure):
    _fields_ = [
        ("ids", ctypes.c_void_p),
        ("types", ctypes.c_void_p),
        ("places", ctypes.c_void_p),
        ("tokens", ctypes.c_int32),
        ("out", ctypes.c_void_p),
    ]


def native_runtime(
    folder: ModelFolder, *, threads: int | None, tables: Mapping[str, Table]
) -> NativeRuntime | None:
    """Return a runtime for a model, or None if it cannot run in the native library here.

    `tables` are those that its graph names but does not contain.
    """
    library = load_library()
    if library is None or folder.onnx is None:
        return None
    if folder.config.get("model_type") not in _MODEL_TYPES:
        return None
    positions = folder.config.get("max_position_embeddings")
    most = positions if isinstance(positions, int) and positions > 0 else _MAX_TOKENS
    try:
        encoder = find_encoder(read_graph(folder.onnx), tables)
        return NativeRuntime(library, encoder, threads=threads, max_tokens=most)
    except (GraphMismatch, UnreadableGraph, OSError):
        return None


class NativeRuntime(BaseRuntime):
    """One encoder; `run` may be called by several threads at once.

    The scores of a sequence are bitwise the same alone and in a batch, for any number of
    threads, and on every processor: no sequence is padded, and sums have one order.

    `seconds`, if a profile sets it, is float64 [3 * layers + 2], and each call adds to it: the
    time of all threads in embeddings, then in projection, attention and the rest of each
    layer; last, the duration of the call.
    """

    engine = "native"

    def __init__(
        self,
        library: Library,
        encoder: Encoder,
        *,
        threads: int | None,
        max_tokens: int = _MAX_TOKENS,
    ) -> None:
        self._library = library
        self._model = CompiledModel(encoder, library.panel, max_tokens=max_tokens)
        self._classifier = None
        if encoder.classifier is not None:
            self._classifier = _Classifier(library, encoder.classifier)
        self._states = encoder.states
        names = {"input_ids", "attention_mask"}
        token_types = encoder.embeddings.token_types
        if token_types is not None and len(token_types) > 1:
            names.add("token_type_ids")
        self._padding = encoder.embeddings.padding
        outputs = ("embeddings", "states") if self._states else ("embeddings",)
        super().__init__(frozenset(names), ("logits",) if self._classifier else outputs)
        self._threads = threads if threads is not None else _processors()
        self.seconds: NDArray[np.float64] | None = None
        self._pools: dict[int, _Pool] = {}
        self._lock = threading.Lock()

    @property
    def model(self) -> CompiledModel:
        """The compiled encoder, with its sizes."""
        return self._model

    @property
    def threads(self) -> int:
        """The number of threads of one call."""
        return self._threads

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the outputs of these names; states are zero at padded positions."""
        ids = np.ascontiguousarray(feeds["input_ids"], dtype=np.int32)
        types = np.zeros_like(ids)
        if "token_type_ids" in self._inputs:
            types = np.ascontiguousarray(feeds["token_type_ids"], dtype=np.int32)
        lengths = feeds["attention_mask"].sum(axis=1)
        if self._classifier is not None:
            tokens = 1 if self._model.first_only else ids.shape[1]
            last = np.empty((len(ids), tokens, self._model.hidden), dtype=np.float32)
            self._run(ids, types, lengths, last, [self._model.layers])
            pooled = last[:, 0] if self._model.first_only else _means(last, lengths)
            return {"logits": self._classifier.logits(pooled)}
        layers = self._states if "states" in names else ()
        needed = [*layers, *({self._model.layers} - set(layers))]
        states = np.zeros((*ids.shape, len(needed) * self._model.hidden), dtype=np.float32)
        self._run(ids, types, lengths, states, needed)
        at = needed.index(self._model.layers) * self._model.hidden
        last = states[:, :, at : at + self._model.hidden]
        outputs: dict[str, NDArray[Any]] = {"embeddings": _mean_pool(last, lengths)}
        if layers:
            outputs["states"] = states[:, :, : len(layers) * self._model.hidden]
        return {name: outputs[name] for name in names}

    def _run(
        self,
        ids: NDArray[np.int32],
        types: NDArray[np.int32],
        lengths: NDArray[Any],
        out: Float32,
        layers: Sequence[int],
    ) -> None:
        """Fill `out`, float32 [rows, tokens, layers * hidden], with outputs of these layers."""
        rows = (_Sequence * len(ids))()
        places = None if self._padding is None else _places(ids, self._padding)
        for i in range(len(ids)):
            starts = (array.ctypes.data + i * array.strides[0] for array in (ids, types, out))
            first, second, third = starts
            place = None if places is None else places.ctypes.data + i * places.strides[0]
            rows[i] = _Sequence(first, second, place, int(lengths[i]), third)
        keep = np.full(self._model.layers + 1, -1, dtype=np.int32)
        keep[list(layers)] = np.arange(len(layers), dtype=np.int32) * self._model.hidden
        code = self._library.functions.secondpass_run(
            self._pool().address,
            self._library.kernels,
            self._model.address,
            ctypes.addressof(rows),
            len(ids),
            keep.ctypes.data,
            out.shape[2],
            None if self.seconds is None else self.seconds.ctypes.data,
        )
        if code:
            why = "a token id or a length is beyond the limits of the model"
            raise ModelError(
                "The encoder failed on a batch",
                where=f"shape {ids.shape}",
                why=why if code == _BAD_INPUT else "out of memory",
            )

    def _pool(self) -> _Pool:
        # A forked child has none of its parent's threads.
        process = os.getpid()
        with self._lock:
            pool = self._pools.get(process)
            if pool is None:
                pool = self._pools[process] = _Pool(self._library, self._threads)
            return pool


class _Classifier:
    """The classification head, which reads a pooled state."""

    def __init__(self, library: Library, head: Classifier) -> None:
        self._library = library
        # Copies, because the tables in the file may not be aligned.
        self._first = head.dense.copy(), head.dense_bias.copy()
        self._activation = _ACTIVATIONS[head.activation]
        self._last = head.weight.copy(), head.bias.copy()
        self._norm = None if head.norm is None else plain_norm(head.norm)

    def logits(self, pooled: Float32) -> Float32:
        """Return float32 [rows, labels] of the pooled states."""
        bent = self._dense(np.ascontiguousarray(pooled), *self._first, self._activation)
        if self._norm is not None:
            self._library.functions.secondpass_normalize(
                self._library.kernels,
                ctypes.addressof(self._norm),
                bent.ctypes.data,
                *bent.shape,
            )
        return self._dense(bent, *self._last, 0)

    def _dense(self, x: Float32, weight: Float32, bias: Float32, activation: int) -> Float32:
        output = np.empty((len(x), len(bias)), dtype=np.float32)
        addresses = [array.ctypes.data for array in (x, weight, bias, output)]
        self._library.functions.secondpass_dense(
            self._library.kernels,
            activation,
            addresses[0],
            len(x),
            *addresses[1:3],
            x.shape[1],
            len(bias),
            addresses[3],
        )
        return output


class _Pool:
    """The threads of one runtime in one process."""

    def __init__(self, library: Library, threads: int) -> None:
        self.address: int = library.functions.secondpass_pool(threads)
        if not self.address:
            raise MemoryError("out of memory for threads")
        weakref.finalize(self, _end, library, self.address, os.getpid())


def _processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end(library: Library, pool: int, process: int) -> None:
    if os.getpid() == process:
        library.functions.secondpass_pool_end(pool)


def _places(ids: NDArray[np.int32], padding: int) -> NDArray[np.int32]:
    """Return RoBERTa's positions: they count the tokens that are not padding."""
    counted = ids != padding
    places = np.cumsum(counted, axis=1, dtype=np.int32) * counted + np.int32(padding)
    return np.ascontiguousarray(places, dtype=np.int32)


def _means(states: Float32, lengths: NDArray[Any]) -> Float32:
    """Return the mean over the tokens of each row."""
    pooled = np.empty((len(states), states.shape[2]), dtype=np.float32)
    for row, (tokens, length) in enumerate(zip(states, lengths, strict=True)):
        pooled[row] = tokens[: int(length)].mean(axis=0)
    return pooled


def _mean_pool(states: Float32, lengths: NDArray[Any]) -> Float32:
    """Return the mean over the tokens of each row, normalized to unit length."""
    means = _means(states, lengths)
    for mean in means:
        # An exact sum: the order of any other depends on the processor.
        norm = math.sqrt(math.fsum((mean * mean).tolist()))
        mean /= np.float32(max(norm, 1e-12))
    return means
