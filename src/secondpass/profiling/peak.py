"""Peak performance: of large matrix products in ONNX Runtime, and of the instructions alone.

The graph is encoded by hand, because the base installation has no `onnx` package:
https://protobuf.dev/programming-guides/encoding/ and onnx.proto of ONNX 1.17.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from secondpass.inference.native.library import load_library

FLOAT, UINT8, INT8, INT32, INT64 = 1, 2, 3, 6, 7
_OPSET = 13


def matmul_graph(size: int, *, integer: bool) -> bytes:
    """Build an ONNX model that multiplies `a` [size, size] by a constant matrix of that shape.

    With `integer`, uint8 by int8 with sums in int32, else float32. The constant is filled
    with ones when the model is loaded, so that the engine can pack it.
    """
    constant, factor, result = (INT8, UINT8, INT32) if integer else (FLOAT, FLOAT, FLOAT)
    shape = _tensor("shape", INT64, b"".join(size.to_bytes(8, "little") for _ in "mn"), [2])
    one = b"\x01" if integer else b"\x00\x00\x80\x3f"
    value = _attribute_tensor("value", _tensor("one", constant, one, [1]))
    fill = _node("ConstantOfShape", ["shape"], ["b"], value)
    product = _node("MatMulInteger" if integer else "MatMul", ["a", "b"], ["c"])
    graph = (
        _bytes(1, fill)
        + _bytes(1, product)
        + _bytes(2, b"peak")
        + _bytes(5, shape)
        + _bytes(11, _value("a", factor, size))
        + _bytes(12, _value("c", result, size))
    )
    opset = _bytes(1, b"") + _number(2, _OPSET)
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, opset)


def _node(kind: str, inputs: list[str], outputs: list[str], attribute: bytes = b"") -> bytes:
    names = b"".join(_bytes(1, i.encode()) for i in inputs)
    names += b"".join(_bytes(2, o.encode()) for o in outputs)
    return names + _bytes(4, kind.encode()) + (_bytes(5, attribute) if attribute else b"")


def _attribute_tensor(name: str, tensor: bytes) -> bytes:
    return _bytes(1, name.encode()) + _bytes(5, tensor) + _number(20, 4)


def _tensor(name: str, kind: int, data: bytes, dimensions: list[int]) -> bytes:
    shape = b"".join(_number(1, n) for n in dimensions)
    return shape + _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, data)


def _value(name: str, kind: int, size: int) -> bytes:
    shape = _bytes(1, _number(1, size)) * 2
    tensor_type = _number(1, kind) + _bytes(2, shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor_type))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


SIZE, ROUNDS = 1024, 12


def measure_peak(
    *, integer: bool, threads: int | None = None, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the operations per second of the fastest of some 1,024 x 1,024 matrix products.

    A multiplication and an addition count as two. With `integer`, uint8 by int8; else single
    precision. This is what ONNX Runtime reaches, not the processor's specification.
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


SPINS, SPIN_ROUNDS = 24, 1_000_000


def measure_instructions(
    *, integer: bool, threads: int | None = None, clock: Callable[[], float] = time.perf_counter
) -> float | None:
    """Return the operations per second of the native engine's multiplications in registers.

    That is what no matrix product can exceed: nothing is read or written. All `threads`
    multiply at once. None if the native library does not run here.
    """
    library = load_library()
    if library is None:
        return None
    workers = threads if threads is not None else os.cpu_count() or 1

    def spin(_: int) -> float:
        operations: float = library.functions.secondpass_spin(
            library.kernels, integer, SPIN_ROUNDS
        )
        return operations

    best = float("inf")
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(SPINS):
            started = clock()
            operations = sum(pool.map(spin, range(workers)))
            best = min(best, (clock() - started) / operations)
    return 1 / best
