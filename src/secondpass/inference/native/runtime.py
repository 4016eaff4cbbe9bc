"""Runs an encoder in machine code of our own, behind the interface of every engine."""

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
from secondpass.inference.native.graph_match import (
    Classifier,
    Encoder,
    GraphMismatch,
    find_encoder,
)
from secondpass.inference.native.library import Library, load_library
from secondpass.inference.native.model import CompiledModel
from secondpass.inference.native.onnx_file import Table, UnreadableGraph, read_graph
from secondpass.inference.types import Feeds, Float32

_BAD_INPUT = 2


class _Sequence(ctypes.Structure):
    _fields_ = [
        ("ids", ctypes.c_void_p),
        ("types", ctypes.c_void_p),
        ("tokens", ctypes.c_int32),
        ("out", ctypes.c_void_p),
    ]


def native_runtime(
    folder: ModelFolder, *, threads: int | None, tables: Mapping[str, Table]
) -> NativeRuntime | None:
    """Return a runtime for a model, or None where it cannot run here or has another shape.

    `tables` are those that its graph names and does not hold.
    """
    library = load_library()
    if library is None or folder.onnx is None or folder.config.get("model_type") != "bert":
        return None
    try:
        encoder = find_encoder(read_graph(folder.onnx), tables)
        return NativeRuntime(library, encoder, threads=threads)
    except (GraphMismatch, UnreadableGraph, OSError):
        return None


class NativeRuntime:
    """One encoder; `run` may be called by several threads at once.

    The scores of a sequence are the same bits alone and beside others, for any number of
    threads, and on every processor: no sequence is padded, and sums have one order.

    `seconds`, where a profile sets it, is float64 [3 * layers + 2], and each call adds to it:
    what the threads together spent on embeddings, then on projection, attention and the rest
    of each layer; last, how long the call itself took.
    """

    def __init__(self, library: Library, encoder: Encoder, *, threads: int | None) -> None:
        self._library = library
        self._model = CompiledModel(encoder, library.panel)
        self._classifier = None
        if encoder.classifier is not None:
            self._classifier = _Classifier(library, encoder.classifier)
        self._states = encoder.states
        names = {"input_ids", "attention_mask"}
        types = len(encoder.embeddings.types) > 1
        self._inputs = frozenset(names | ({"token_type_ids"} if types else set()))
        self._threads = threads if threads is not None else _processors()
        self.seconds: NDArray[np.float64] | None = None
        self._pools: dict[int, _Pool] = {}
        self._lock = threading.Lock()

    @property
    def engine(self) -> str:
        """The name of this engine."""
        return "native"

    @property
    def model(self) -> CompiledModel:
        """The encoder, with its sizes."""
        return self._model

    @property
    def threads(self) -> int:
        """How many threads work at once."""
        return self._threads

    @property
    def inputs(self) -> frozenset[str]:
        """The names of the arrays that a batch has."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what comes out, in order."""
        if self._classifier is not None:
            return ("logits",)
        return ("embeddings", "states") if self._states else ("embeddings",)

    def run(self, feeds: Feeds) -> Float32:
        """Return the first output."""
        name = self.outputs[0]
        found: Float32 = self.run_named(feeds, [name])[name]
        return found

    def run_named(self, feeds: Feeds, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the outputs of these names; states are zero where a row is padded."""
        ids = np.ascontiguousarray(feeds["input_ids"], dtype=np.int32)
        types = np.zeros_like(ids)
        if "token_type_ids" in self._inputs:
            types = np.ascontiguousarray(feeds["token_type_ids"], dtype=np.int32)
        lengths = feeds["attention_mask"].sum(axis=1)
        if self._classifier is not None:
            first = np.empty((len(ids), 1, self._model.hidden), dtype=np.float32)
            self._run(ids, types, lengths, first, [self._model.layers])
            return {"logits": self._classifier.logits(first[:, 0])}
        layers = self._states if "states" in names else ()
        kept = [*layers, *({self._model.layers} - set(layers))]
        states = np.zeros((*ids.shape, len(kept) * self._model.hidden), dtype=np.float32)
        self._run(ids, types, lengths, states, kept)
        at = kept.index(self._model.layers) * self._model.hidden
        last = states[:, :, at : at + self._model.hidden]
        found: dict[str, NDArray[Any]] = {"embeddings": _mean(last, lengths)}
        if layers:
            found["states"] = states[:, :, : len(layers) * self._model.hidden]
        return {name: found[name] for name in names}

    def _run(
        self,
        ids: NDArray[np.int32],
        types: NDArray[np.int32],
        lengths: NDArray[Any],
        out: Float32,
        kept: Sequence[int],
    ) -> None:
        """Fill `out`, float32 [rows, tokens, kept layers * hidden]."""
        rows = (_Sequence * len(ids))()
        for i in range(len(ids)):
            starts = (array.ctypes.data + i * array.strides[0] for array in (ids, types, out))
            first, second, third = starts
            rows[i] = _Sequence(first, second, int(lengths[i]), third)
        keep = np.full(self._model.layers + 1, -1, dtype=np.int32)
        keep[list(kept)] = np.arange(len(kept), dtype=np.int32) * self._model.hidden
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
            why = "a token or a length that the model does not have"
            raise ModelError(
                "The encoder failed on a batch",
                where=f"shape {ids.shape}",
                why=why if code == _BAD_INPUT else "there is not enough memory",
            )

    def _pool(self) -> _Pool:
        # A child that was forked has none of its parent's threads.
        process = os.getpid()
        with self._lock:
            pool = self._pools.get(process)
            if pool is None:
                pool = self._pools[process] = _Pool(self._library, self._threads)
            return pool


class _Classifier:
    """The layers behind the first token."""

    def __init__(self, library: Library, head: Classifier) -> None:
        self._library = library
        # Copies, for the file's own tables need not stand where floats should.
        self._pooler = head.pooler.copy(), head.pooler_bias.copy()
        self._last = head.weight.copy(), head.bias.copy()

    def logits(self, first: Float32) -> Float32:
        """Return float32 [rows, labels] of the first tokens' states."""
        pooled = self._dense(np.ascontiguousarray(first), *self._pooler, bent=True)
        return self._dense(pooled, *self._last, bent=False)

    def _dense(self, x: Float32, weight: Float32, bias: Float32, *, bent: bool) -> Float32:
        found = np.empty((len(x), len(bias)), dtype=np.float32)
        source, table, added, target = (a.ctypes.data for a in (x, weight, bias, found))
        sizes = x.shape[1], len(bias)
        self._library.functions.secondpass_dense(
            self._library.kernels, bent, source, len(x), table, added, *sizes, target
        )
        return found


class _Pool:
    """The threads of one runtime in one process."""

    def __init__(self, library: Library, threads: int) -> None:
        self.address: int = library.functions.secondpass_pool(threads)
        if not self.address:
            raise MemoryError("there is no memory for threads")
        weakref.finalize(self, _end, library, self.address, os.getpid())


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end(library: Library, pool: int, process: int) -> None:
    if os.getpid() == process:
        library.functions.secondpass_pool_end(pool)


def _mean(states: Float32, lengths: NDArray[Any]) -> Float32:
    """Return the mean over the tokens of each row, of length 1."""
    found = np.empty((len(states), states.shape[2]), dtype=np.float32)
    for row, (tokens, length) in enumerate(zip(states, lengths, strict=True)):
        mean = tokens[: int(length)].mean(axis=0)
        # A sum that is exact, since the order of any other depends on the processor.
        norm = math.sqrt(math.fsum((mean * mean).tolist()))
        found[row] = mean / np.float32(max(norm, 1e-12))
    return found
