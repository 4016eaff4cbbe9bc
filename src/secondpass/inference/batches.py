"""Batched inference: many token sequences of different lengths through one model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.tokenizer import TokenSequence
from secondpass.inference.types import Float32, Runtime


@dataclass(frozen=True, slots=True)
class Batch:
    """The positions of the sequences in one batch, and the length they are padded to."""

    rows: tuple[int, ...]
    length: int


def plan_batches(
    lengths: Sequence[int], *, token_budget: int, step: int, longest: int
) -> Iterator[Batch]:
    """Yield batches of sequences of one padded length, shortest first.

    Each sequence is padded to the next multiple of `step`, at most `longest`: a function of
    its own length only, so that its score does not depend on its neighbors in the batch. A
    batch has at most `token_budget` tokens, or one sequence.
    """
    padded = [min(-(-n // step) * step, max(longest, n)) for n in lengths]
    order = sorted(range(len(lengths)), key=padded.__getitem__)
    start = 0
    while start < len(order):
        length = padded[order[start]]
        limit = min(len(order), start + max(1, token_budget // max(1, length)))
        stop = start
        while stop < limit and padded[order[stop]] == length:
            stop += 1
        yield Batch(tuple(order[start:stop]), length)
        start = stop


# The rows of one batch fit the processor's cache; see docs/explanation/architecture.md.
TOKEN_BUDGET = 2048
PADDING_STEP = 8

Progress = Callable[[int], None]


def iter_batches(
    runtime: Runtime,
    sequences: Sequence[TokenSequence],
    *,
    pad_id: int,
    longest: int,
    names: Sequence[str],
) -> Iterator[tuple[Batch, dict[str, NDArray[Any]]]]:
    """Run the model batch by batch; yield each batch with its named outputs.

    Memory is bounded by one batch, not by the number of sequences.
    """
    lengths = [len(ids) for ids, _ in sequences]
    for batch in plan_batches(
        lengths, token_budget=TOKEN_BUDGET, step=PADDING_STEP, longest=longest
    ):
        shape = (len(batch.rows), batch.length)
        ids = np.full(shape, pad_id, dtype=np.int64)
        mask = np.zeros(shape, dtype=np.int64)
        segments = np.zeros(shape, dtype=np.int64)
        for row, position in enumerate(batch.rows):
            tokens, types = sequences[position]
            ids[row, : len(tokens)] = tokens
            segments[row, : len(tokens)] = types
            mask[row, : len(tokens)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        used = {name: array for name, array in feeds.items() if name in runtime.inputs}
        yield batch, runtime.run_named(used, names)


def run_batched(
    runtime: Runtime,
    sequences: Sequence[TokenSequence],
    *,
    pad_id: int,
    longest: int,
    progress: Progress | None = None,
) -> Float32:
    """Return the model's first output for each sequence, [sequences, …], in input order.

    `progress` is called with the number of sequences done since its last call.
    """
    output: Float32 | None = None
    name = runtime.outputs[0]
    for batch, outputs in iter_batches(
        runtime, sequences, pad_id=pad_id, longest=longest, names=[name]
    ):
        result = outputs[name]
        if output is None:
            output = np.empty((len(sequences), *result.shape[1:]), dtype=np.float32)
        output[list(batch.rows)] = result
        if progress is not None:
            progress(len(batch.rows))
    return np.empty((0,), dtype=np.float32) if output is None else output
