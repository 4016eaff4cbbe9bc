"""ONNX file parser: nodes and tables of a graph, without the `onnx` package.

Only the part of the format that the graphs of `secondpass export` use: unknown fields are
skipped, and tables of other types than listed are left out.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES: Mapping[int, str] = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2"}
"""NumPy's types by the numbers of TensorProto.DataType."""

Table = NDArray[Any]


class UnreadableGraph(Exception):
    """The bytes are not an ONNX graph; the message says why."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator; `attributes` are its numbers, strings and lists of numbers."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """Operators in order, tables by name (read-only views of the file), inputs and outputs."""

    nodes: tuple[Node, ...]
    tables: Mapping[str, Table]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(file: Path) -> Graph:
    """Parse an ONNX file; its tables are mapped into memory, and not read until used.

    Raises `UnreadableGraph` if the bytes are not an ONNX graph, `OSError` if the file cannot
    be opened.
    """
    with file.open("rb") as stream:
        try:
            content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError as error:  # an empty file
            raise UnreadableGraph(str(error)) from error
    try:
        graphs = [value for number, value in _fields(content) if number == 7]
        return (
            _graph(_bytes(graphs[0]))
            if len(graphs) == 1
            else _fail("it does not contain one graph")
        )
    except (struct.error, UnicodeDecodeError, ValueError, TypeError, IndexError) as error:
        raise UnreadableGraph(str(error)) from error


def _fail(why: str) -> Any:
    raise UnreadableGraph(why)


def _graph(data: memoryview) -> Graph:
    nodes: list[Node] = []
    tables: dict[str, Table] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    for number, value in _fields(data):
        if number == 1:
            nodes.append(_node(_bytes(value)))
        elif number == 5:
            name, table = _tensor(_bytes(value))
            if table is not None:
                tables[name] = table
        elif number in (11, 12):
            (inputs if number == 11 else outputs).append(_name(_bytes(value)))
    return Graph(tuple(nodes), tables, tuple(inputs), tuple(outputs))


def _name(data: memoryview) -> str:
    return next((_text(value) for number, value in _fields(data) if number == 1), "")


def _node(data: memoryview) -> Node:
    kind, inputs, outputs, attributes = "", [], [], {}
    for number, value in _fields(data):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            kind = _text(value)
        elif number == 5:
            name, attribute = _attribute(_bytes(value))
            attributes[name] = attribute
    return Node(kind, tuple(inputs), tuple(outputs), attributes)


def _attribute(data: memoryview) -> tuple[str, Any]:
    name, scalar = "", None
    numbers: list[int] = []
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2 and isinstance(value, memoryview):
            scalar = struct.unpack("<f", value)[0]
        elif number == 3:
            scalar = _integer(value)
        elif number == 4:
            scalar = _text(value)
        elif number == 8:
            numbers += _integers(value)
    return name, tuple(numbers) if numbers else scalar


@dataclass(slots=True)
class _Tensor:
    name: str = ""
    type: int = 0
    shape: list[int] = field(default_factory=list)
    raw: memoryview | None = None
    numbers: list[int] = field(default_factory=list)
    external: bool = False


def _tensor(data: memoryview) -> tuple[str, Table | None]:
    tensor = _Tensor()
    floats = b""
    for number, value in _fields(data):
        if number == 1:
            tensor.shape += _integers(value)
        elif number == 2:
            tensor.type = _integer(value)
        elif number == 4:
            floats += bytes(_bytes(value))
        elif number in (5, 7):
            tensor.numbers += _integers(value)
        elif number == 8:
            tensor.name = _text(value)
        elif number == 9:
            tensor.raw = _bytes(value)
        elif number == 14:
            tensor.external = _integer(value) == 1
    kind = _TYPES.get(tensor.type)
    if kind is None or tensor.external:
        return tensor.name, None
    if tensor.raw is not None:
        table: Table = np.frombuffer(tensor.raw, dtype=kind)
    elif floats:
        table = np.frombuffer(floats, dtype="<f4").astype(kind)
    else:
        table = np.array(tensor.numbers, dtype=np.int64).astype(kind)
    return tensor.name, table.reshape(tensor.shape)


# --- protobuf ---------------------------------------------------------------------------


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and the value of each field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise UnreadableGraph(f"a field of type {wire} at byte {at}")
        if length > len(data) - at:
            raise UnreadableGraph(f"a field at byte {at} is longer than the message")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise UnreadableGraph(f"an unterminated varint at byte {at}")


def _bytes(value: int | memoryview) -> memoryview:
    return value if isinstance(value, memoryview) else _fail("a number instead of a message")


def _text(value: int | memoryview) -> str:
    return str(_bytes(value), "utf-8")


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise UnreadableGraph("bytes instead of a number")
    return value - (1 << 64) if value >> 63 else value


def _integers(value: int | memoryview) -> list[int]:
    """Return the numbers of a repeated field, which may be packed."""
    if isinstance(value, int):
        return [_integer(value)]
    integers, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        integers.append(_integer(number))
    return integers
