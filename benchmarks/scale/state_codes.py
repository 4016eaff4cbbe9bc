"""Ways to make the token states of a passage smaller, to be compared with full ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondpass.rerank.precomputed.types import Record

Ids = NDArray[np.int64]
Change = Callable[[Record, Ids], Record]

# The levels that lose least of a normal variable of variance 1 (Max, 1960; Lloyd, 1982).
LEVELS = {
    1: (0.7979,),
    2: (0.4528, 1.510),
    3: (0.2451, 0.7560, 1.344, 2.152),
    4: (0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733),
}


@dataclass(frozen=True)
class Codec:
    """A way to store a record: what a search reads again, and how many bytes it takes."""

    name: str
    change: Change
    size: Callable[[Record, Ids], float]


def lloyd_max(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Return the values of each row [tokens, codes] at the nearest of 2**bits levels.

    Levels are scaled by the root mean square of the row, then so that the row's product with
    what is stored is its own square.
    """
    levels = np.array(LEVELS[bits], dtype=np.float32)
    levels = np.concatenate([-levels[::-1], levels])
    borders = (levels[1:] + levels[:-1]) / 2
    size = np.sqrt((values**2).mean(axis=1, keepdims=True)) + 1e-12
    rounded = levels[np.searchsorted(borders, values / size, side="right")]
    products = (rounded * values).sum(axis=1, keepdims=True)
    scale: NDArray[np.float32] = products / (rounded**2).sum(axis=1, keepdims=True)
    return rounded * scale


def states_of(record: Record) -> NDArray[np.float32]:
    """Return the states of a record's tokens, float32 [tokens, codes]."""
    return record.codes * record.scales[:, None].astype(np.float32)


def with_states(record: Record, states: NDArray[np.float32]) -> Record:
    """Return a record with other states, in 8 bits a code."""
    scales = np.abs(states).max(axis=1) / 127 + 1e-12
    codes = np.rint(states / scales[:, None]).astype(np.int8)
    return Record(codes, scales.astype(np.float16), record.embedding)


def short_embedding(record: Record) -> Record:
    """Return a record whose embedding was stored in 8 bits a number."""
    scale = np.abs(record.embedding).max() / 127
    embedding = np.rint(record.embedding / scale).astype(np.float32)
    return Record(record.codes, record.scales, embedding / np.linalg.norm(embedding))


def full_size(record: Record) -> float:
    """Return the bytes of a record as it is stored now."""
    return record.tokens * (record.codes.shape[1] + 2) + 4 * len(record.embedding)


def bits(number: int, *, centered: bool = False) -> Codec:
    """Return a codec of so many bits a code; `centered` stores the mean of a passage apart."""

    def change(record: Record, _: Ids) -> Record:
        states = states_of(record)
        mean = states.mean(axis=0, keepdims=True) if centered else np.float32(0)
        return with_states(short_embedding(record), lloyd_max(states - mean, number) + mean)

    def size(record: Record, _: Ids) -> float:
        width = record.codes.shape[1]
        tokens = record.tokens * (width * number / 8 + 2)
        return tokens + len(record.embedding) + 2 + (width + 2 if centered else 0)

    name = f"{number} bits" + (", mean of the passage apart" if centered else "")
    return Codec(name, change, size)


def pooled(neighbors: int, number: int) -> Codec:
    """Return a codec that stores one state for so many neighbors, in so many bits."""

    def join(states: NDArray[np.float32]) -> NDArray[np.float32]:
        inner = states[1:-1]
        starts = np.arange(0, max(1, len(inner)), neighbors)
        if not len(inner):
            return states
        counts = np.diff([*starts, len(inner)])
        means = np.add.reduceat(inner, starts, axis=0) / counts[:, None]
        return np.concatenate([states[:1], means, states[-1:]]).astype(np.float32)

    def change(record: Record, _: Ids) -> Record:
        return with_states(short_embedding(record), lloyd_max(join(states_of(record)), number))

    def size(record: Record, _: Ids) -> float:
        tokens = 2 + np.ceil((record.tokens - 2) / neighbors)
        return float(tokens * (record.codes.shape[1] * number / 8 + 2)) + 386

    return Codec(f"means of {neighbors} neighbors, {number} bits", change, size)


def without_near(share: float, number: int) -> Codec:
    """Return a codec without the tokens nearest to another one that stays, in so many bits.

    Tokens are dropped one after the other, that of the highest cosine first, until `share` of
    them are left.
    """

    def keep(states: NDArray[np.float32]) -> NDArray[np.float32]:
        unit = states / (np.linalg.norm(states, axis=1, keepdims=True) + 1e-12)
        near = unit @ unit.T
        np.fill_diagonal(near, -2)
        near[0] = near[-1] = -2
        dropped = np.zeros(len(states), dtype=bool)
        for _ in range(int(len(states) * (1 - share))):
            row = int(near.max(axis=1).argmax())
            dropped[row] = True
            near[row] = near[:, row] = -2
        return states[~dropped]

    def change(record: Record, _: Ids) -> Record:
        return with_states(short_embedding(record), lloyd_max(keep(states_of(record)), number))

    def size(record: Record, _: Ids) -> float:
        tokens = record.tokens - int(record.tokens * (1 - share))
        return tokens * (record.codes.shape[1] * number / 8 + 2) + 386

    return Codec(f"the {share:.0%} of tokens least alike, {number} bits", change, size)


def without_tokens(name: str, dropped: Collection[int], number: int) -> Codec:
    """Return a codec without the states of these tokens, in so many bits."""
    ids = np.array(sorted(dropped))

    def change(record: Record, tokens: Ids) -> Record:
        kept = states_of(record)[~np.isin(tokens, ids)]
        return with_states(short_embedding(record), lloyd_max(kept, number))

    def size(record: Record, tokens: Ids) -> float:
        kept = record.tokens - int(np.isin(tokens, ids).sum())
        return kept * (record.codes.shape[1] * number / 8 + 2) + 386

    return Codec(f"without {name}, {number} bits", change, size)


def projected(dimensions: int, axes: NDArray[np.float32], number: int) -> Codec:
    """Return a codec of the first `dimensions` principal axes, rotated, in so many bits."""
    noise = np.random.default_rng(0).normal(size=(dimensions, dimensions))
    basis = (axes[:, :dimensions] @ np.linalg.qr(noise)[0]).astype(np.float32)

    def change(record: Record, _: Ids) -> Record:
        stored = lloyd_max(states_of(record) @ basis, number)
        return with_states(short_embedding(record), stored @ basis.T)

    def size(record: Record, _: Ids) -> float:
        return record.tokens * (dimensions * number / 8 + 2) + 386

    return Codec(f"{dimensions} principal axes, {number} bits", change, size)
