"""Inference engines: which one runs a model, and loading it."""

from __future__ import annotations

import os

from secondpass.errors import InputError, nearest
from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.runtimes.classifier_head import has_head
from secondpass.inference.types import Runtime

ENGINES = ("native", "onnxruntime", "openvino")
"""The first runs the models it supports, and leaves the others to ONNX Runtime."""

ENVIRONMENT = "SECONDPASS_RUNTIME"
"""The environment variable that names the engine; the first of `ENGINES` if not set."""


def engine_from_environment() -> str:
    """Return the engine set in the environment; raises `InputError` for an unknown one."""
    name = os.environ.get(ENVIRONMENT, ENGINES[0])
    if name not in ENGINES:
        raise InputError(
            f"unknown inference engine {name!r}", where=ENVIRONMENT, fix=nearest(name, ENGINES)
        )
    return name


def load_runtime(
    folder: ModelFolder,
    *,
    threads: int | None = None,
    engine: str | None = None,
    device: str | None = None,
) -> Runtime:
    """Load a model with an engine, or with PyTorch if the folder has no ONNX graph.

    A model whose score is computed by modules of sentence-transformers behind the encoder, and
    one for which a `device` is named, run in PyTorch too.

    `threads` is the number of threads for one call; None leaves it to the engine. `engine`
    None means an engine whose scores may be cached: the native one for the models that it
    supports, unless the environment names another, else ONNX Runtime. A graph that shares
    another model's tables never runs in OpenVINO. Raises `MissingExtraError` if a package is
    not installed, `ModelError` if the engine rejects the model.
    """
    if folder.onnx is None or device is not None or has_head(folder):
        from secondpass.inference.runtimes.torch import TorchRuntime

        return TorchRuntime(folder, device=device)
    from secondpass.inference.runtimes.onnxruntime import OnnxRuntime
    from secondpass.inference.shared_tables import load_shared_tables

    tables = load_shared_tables(folder)
    chosen = engine_from_environment() if engine is None else engine
    if engine == "openvino" and not tables:
        from secondpass.inference.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime(folder.onnx, threads=threads)
    if chosen == "native":
        from secondpass.inference.native.runtime import native_runtime

        native = native_runtime(folder, threads=threads, tables=tables)
        if native is not None:
            return native
    return OnnxRuntime(folder.onnx, threads=threads, tables=tables)
