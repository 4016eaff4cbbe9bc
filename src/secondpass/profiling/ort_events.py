"""What ONNX Runtime's profiler wrote, as operators with seconds and arithmetic."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PRODUCTS = ("MatMul", "Gemm")
_INTEGERS = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of one run, in the order of execution.

    `operations` are those of a matrix product, a multiplication and an addition counted
    as two, else 0; `integer` says whether its first factor was 8-bit.
    """

    kind: str
    seconds: float
    operations: int = 0
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a session; `seconds` includes what is between the operators."""

    seconds: float
    operators: Sequence[Operator]


def read_runs(file: Path) -> list[Run]:
    """Return the runs of a profile in Chrome's trace format, in order.

    Times are microseconds there; operators of nested graphs count as parts of their own.
    """
    events = json.loads(file.read_text(encoding="utf-8"))
    spans = [e for e in events if e.get("name") == "model_run"]
    nodes = sorted(
        (e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")),
        key=lambda e: e["ts"],
    )
    runs, position = [], 0
    for span in sorted(spans, key=lambda e: e["ts"]):
        end, found = span["ts"] + span["dur"], []
        while position < len(nodes) and nodes[position]["ts"] <= end:
            found.append(_operator(nodes[position]))
            position += 1
        runs.append(Run(span["dur"] / 1e6, found))
    return runs


def _operator(event: Mapping[str, Any]) -> Operator:
    arguments = event["args"]
    kind = str(arguments["op_name"])
    seconds = event["dur"] / 1e6
    if not any(name in kind for name in _PRODUCTS):
        return Operator(kind, seconds)
    inputs, outputs = arguments["input_type_shape"], arguments["output_type_shape"]
    ((of, first),) = inputs[0].items()
    ((_, result),) = outputs[0].items()
    return Operator(kind, seconds, product_operations(first, result), of in _INTEGERS)


def product_operations(first: Sequence[int], result: Sequence[int]) -> int:
    """Return the operations of a matrix product from its first factor's and result's shape.

    The second factor is often packed and not told. The first may be transposed: then its
    last axis, not the one before, is that of the result's rows.
    """
    if not first or not result:
        return 0
    upright = len(first) < 2 or len(result) < 2 or first[-2] == result[-2]
    return 2 * math.prod(result) * (first[-1] if upright else first[-2])
