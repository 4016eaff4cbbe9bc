"""How records are written: whole, or compact with two bits a code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from secondpass.rerank.precomputed.types import Record

# The four levels that lose least of a normal variable (Max, 1960), largest one first: 1.510 and
# 0.4528 standard deviations, with a border at 0.9816. Codes are drawn to a normal distribution
# by the random rotation of the model's axes.
_BORDER = 0.9816
_OUTER, _INNER = 127, 38
_LEVELS = np.array([-_OUTER, -_INNER, _INNER, _OUTER], dtype=np.int8)
_CODES_A_BYTE = 4
_LARGEST_SCALE = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """One way to write records.

    - `name`: the value of the option `states`; `mark`: what tells files and caches of this
      format from those of others, "" for the first one there was.
    - `pack`: writes a record; `unpack`: reads one of so many codes and dimensions, and raises
      ValueError for an impossible length.
    """

    name: str
    mark: str
    pack: Callable[[Record], bytes]
    unpack: Callable[[bytes, int, int], Record]

    def as_stored(self, record: Record) -> Record:
        """Return a record as it is read again, so that scores do not depend on the file."""
        if self is FULL:
            return record
        codes, dimension = record.codes.shape[1], len(record.embedding)
        return self.unpack(self.pack(record), codes, dimension)


def pack_compact(record: Record) -> bytes:
    """Return a record in 2 bits a code, 16 a token's scale and 8 an embedding's number.

    A code becomes the nearest of four levels, relative to the root mean square of its token's;
    the scale then minimizes the squared error of the token's state.
    """
    values = record.codes.astype(np.float32)
    border = _BORDER * np.sqrt(np.mean(values**2, axis=1, keepdims=True))
    outer = np.abs(values) > border
    levels = np.where(values < 0, np.where(outer, 0, 1), np.where(outer, 3, 2)).astype(np.uint8)
    stored = _LEVELS[levels].astype(np.float32)
    products = (values * stored).sum(axis=1) / (stored**2).sum(axis=1)
    scales = np.minimum(products * record.scales.astype(np.float32), _LARGEST_SCALE)
    largest = float(np.abs(record.embedding).max()) or 1.0
    embedding = np.rint(record.embedding * (127 / largest)).astype(np.int8)
    parts = (embedding, scales.astype("<f2"), _pack_levels(levels))
    return b"".join(part.tobytes() for part in parts)


def unpack_compact(data: bytes, codes: int, dimension: int) -> Record:
    """Parse what `pack_compact` wrote; raises ValueError for an impossible length."""
    width = -(-codes // _CODES_A_BYTE)
    tokens, left_over = divmod(len(data) - dimension, width + 2)
    if tokens < 1 or left_over:
        raise ValueError(f"{len(data)} bytes are not a compact record of {codes} codes a token")
    embedding = np.frombuffer(data, np.int8, dimension).astype(np.float32)
    length = math.sqrt(float(embedding @ embedding))
    scales = np.frombuffer(data, "<f2", tokens, dimension)
    packed = np.frombuffer(data, np.uint8, tokens * width, dimension + 2 * tokens)
    # Four codes are looked up at once.
    levels = (
        _levels_of_bytes().take(packed).view(np.int8).reshape(tokens, width * _CODES_A_BYTE)
    )
    return Record(levels[:, :codes], scales, embedding / length if length else embedding)


def _pack_levels(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    tokens, codes = levels.shape
    padded = np.zeros((tokens, -(-codes // _CODES_A_BYTE) * _CODES_A_BYTE), dtype=np.uint8)
    padded[:, :codes] = levels
    fours = padded.reshape(tokens, -1, _CODES_A_BYTE)
    shifted = fours << np.array([0, 2, 4, 6], dtype=np.uint8)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(shifted, axis=2)
    return packed


@cache
def _levels_of_bytes() -> NDArray[np.uint32]:
    """Return the four codes of each byte, in one number each, [256]."""
    numbers = np.arange(256, dtype=np.uint8)
    fours = np.stack([_LEVELS[numbers >> shift & 3] for shift in (0, 2, 4, 6)], axis=1)
    return np.ascontiguousarray(fours).view(np.uint32).reshape(256)


FULL = RecordFormat(
    "full",
    "",
    Record.to_bytes,
    lambda data, codes, dimension: Record.from_bytes(data, codes=codes, dimension=dimension),
)
COMPACT = RecordFormat("compact", "compact-1", pack_compact, unpack_compact)

FORMATS = {one.name: one for one in (FULL, COMPACT)}
