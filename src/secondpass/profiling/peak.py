"""How many operations a second a matrix product reaches here, in ONNX Runtime."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from secondpass.profiling.matmul_graph import matmul_graph

SIZE, ROUNDS = 1024, 12


def measure_peak(
    *, integer: bool, threads: int | None = None, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return operations a second of the best of some products of two matrices of 1,024 rows.

    A multiplication and an addition count as two. With `integer`, uint8 by int8; else in
    single precision. This is what ONNX Runtime reaches on large matrices, not what the
    processor's data sheet says.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    graph = matmul_graph(SIZE, integer=integer)
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    kind = np.uint8 if integer else np.float32
    feeds = {"a": np.ones((SIZE, SIZE), dtype=kind)}
    best = float("inf")
    for _ in range(ROUNDS):
        started = clock()
        session.run(["c"], feeds)
        best = min(best, clock() - started)
    return 2 * SIZE**3 / best
