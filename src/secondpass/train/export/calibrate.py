"""Calibration: real pairs, and the ranges of activations on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError
from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.train.export.onnx_graph import open_session

if TYPE_CHECKING:
    import onnx_ir as ir

Feeds = Mapping[str, NDArray[Any]]
Progress = Callable[[str, int, int], None]

# Enough for fast products, few enough for the memory of a laptop.
TOKENS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Activations:
    """Statistics of a tensor [.., channels] over many tokens.

    `low` and `high` are the extremes of each channel, `products` the sum over tokens of
    the products of every two channels, [channels, channels]; [0, 0] where not recorded.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    products: NDArray[np.float64]

    def merge(self, other: Activations) -> Activations:
        """Return the statistics of both together."""
        return Activations(
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.products + other.products,
        )

    @property
    def peak(self) -> NDArray[np.float32]:
        """The largest absolute value of each channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


@dataclass(frozen=True, slots=True)
class Pair:
    """A query with one passage; `text` starts with its title, if it has one."""

    query: str
    text: str


def read_pairs(file: Path) -> list[Pair]:
    """Read lines of JSON with `query`, `text` and an optional `title`.

    Raises `InputError` that names the invalid line, or if there is no line.
    """
    pairs: list[Pair] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "The calibration pairs cannot be read", where=str(file), why=str(error)
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            query, text, title = row["query"], row["text"], row.get("title")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "A calibration pair cannot be read",
                where=f"{file}, line {number}",
                why=f"{type(error).__name__}: {error}",
                fix='Each line must be like {"query": "…", "text": "…"}.',
            ) from error
        if not isinstance(query, str) or not isinstance(text, str):
            raise InputError(
                "A calibration pair cannot be read",
                where=f"{file}, line {number}",
                why="query and text must be strings",
            )
        pairs.append(Pair(query, f"{title}\n{text}" if title else text))
    if not pairs:
        raise InputError("There are no calibration pairs", where=str(file))
    return pairs


def split_pairs(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs of two questions in three, and the held-out ones of the third."""
    number = {query: i for i, query in enumerate(dict.fromkeys(pair.query for pair in pairs))}
    calibration = [pair for pair in pairs if number[pair.query] % 3 != 2]
    return calibration, [pair for pair in pairs if number[pair.query] % 3 == 2]


def pair_sequences(
    tokenizer: Tokenizer, pairs: Iterable[Pair], max_length: int
) -> list[TokenSequence]:
    """Return the tokens of each pair; the passage is truncated to fit `max_length`."""
    sequences = []
    for pair in pairs:
        query, text = tokenizer.encode([pair.query, pair.text], max_length)
        query_ids = query.ids[: max_length // 2]
        room = max(0, max_length - tokenizer.pair.special - len(query_ids))
        sequences.append(tokenizer.pair.join(query_ids, text.ids[:room]))
    return sequences


def text_sequences(
    tokenizer: Tokenizer, texts: Iterable[str], max_length: int
) -> list[TokenSequence]:
    """Return the tokens of each text, truncated to `max_length`."""
    room = max_length - tokenizer.special
    encoded = tokenizer.encode(list(texts), max_length)
    return [tokenizer.single(tokens.ids[:room]) for tokens in encoded]


def sequence_feeds(
    sequence: TokenSequence, names: Iterable[str], length: int | None = None
) -> Feeds:
    """Return the graph's inputs for a batch of one sequence, padded with 0 up to `length`."""
    ids, segments = sequence
    padded_length = len(ids) if length is None else length
    rows = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments}
    inputs = {}
    for name in names:
        row = np.zeros((1, padded_length), dtype=np.int64)
        row[0, : len(ids)] = rows[name]
        inputs[name] = row
    return inputs


def record_activations(
    model: ir.Model,
    tensors: Sequence[str],
    batches: Sequence[Feeds],
    progress: Progress | None = None,
    *,
    products: bool = True,
) -> dict[str, Activations]:
    """Run the graph on all batches and return the statistics of each tensor.

    Without `products` only the extremes are recorded: for wide layers, products take more
    time than the graph, and 8 bytes for every two channels.
    """
    session = open_session(model, tensors)
    activations: dict[str, Activations] = {}
    pending: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tensors}
    tokens = 0
    for done, batch in enumerate(batches, start=1):
        for name, array in zip(tensors, session.run(list(tensors), dict(batch)), strict=True):
            pending[name].append(array.reshape(-1, array.shape[-1]))
        tokens += max(len(arrays[-1]) for arrays in pending.values())
        if tokens >= TOKENS_AT_ONCE or done == len(batches):
            for name, arrays in pending.items():
                new = _statistics(np.concatenate(arrays), products)
                known = activations.get(name)
                activations[name] = new if known is None else known.merge(new)
                arrays.clear()
            tokens = 0
        if progress is not None:
            progress("calibrate", done, len(batches))
    return activations


def _statistics(rows: NDArray[np.float32], products: bool) -> Activations:
    inner = (rows.T @ rows).astype(np.float64) if products else np.zeros((0, 0))
    return Activations(rows.min(axis=0), rows.max(axis=0), inner)
