"""Real pairs, and the ranges that activations take on them."""

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

if TYPE_CHECKING:
    import onnx_ir as ir

Feeds = Mapping[str, NDArray[Any]]
Progress = Callable[[str, int, int], None]

# Enough for fast products, few enough for the memory of a laptop.
TOKENS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Activations:
    """What a tensor [.., channels] was like over many tokens.

    `low` and `high` are the extremes of each channel, `products` the sum over tokens of
    the products of every two channels, [channels, channels].
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    products: NDArray[np.float64]

    def joined(self, other: Activations) -> Activations:
        """Return what both saw together."""
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
    """A query with one passage; the title, where there is one, is part of `text`."""

    query: str
    text: str


def read_pairs(file: Path) -> list[Pair]:
    """Read lines of JSON with `query`, `text` and an optional `title`.

    Raises `InputError` naming the line that cannot be used, or if there is no line.
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


def split(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs of two questions in three, and those of the third."""
    turn = {query: i for i, query in enumerate(dict.fromkeys(pair.query for pair in pairs))}
    used = [pair for pair in pairs if turn[pair.query] % 3 != 2]
    return used, [pair for pair in pairs if turn[pair.query] % 3 == 2]


def pair_sequences(
    tokeniser: Tokenizer, pairs: Iterable[Pair], max_length: int
) -> list[TokenSequence]:
    """Return the tokens of each pair, the passage cut so that none exceeds `max_length`."""
    sequences = []
    for pair in pairs:
        query, text = tokeniser.encode([pair.query, pair.text], max_length)
        first = query.ids[: max_length // 2]
        room = max(0, max_length - tokeniser.pair.special - len(first))
        sequences.append(tokeniser.pair.join(first, text.ids[:room]))
    return sequences


def text_sequences(
    tokeniser: Tokenizer, texts: Iterable[str], max_length: int
) -> list[TokenSequence]:
    """Return the tokens of each text, cut to `max_length`."""
    room = max_length - tokeniser.special
    encoded = tokeniser.encode(list(texts), max_length)
    return [tokeniser.single(tokens.ids[:room]) for tokens in encoded]


def feeds(sequence: TokenSequence, names: Iterable[str], length: int | None = None) -> Feeds:
    """Return the inputs of one sequence as a batch of one, padded with 0 up to `length`."""
    ids, segments = sequence
    width = len(ids) if length is None else length
    rows = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments}
    padded = {}
    for name in names:
        row = np.zeros((1, width), dtype=np.int64)
        row[0, : len(ids)] = rows[name]
        padded[name] = row
    return padded


def observe(
    model: ir.Model,
    tensors: Sequence[str],
    batches: Sequence[Feeds],
    progress: Progress | None = None,
) -> dict[str, Activations]:
    """Run the graph over all batches and return what each tensor was like."""
    session = _session_with(model, tensors)
    seen: dict[str, Activations] = {}
    waiting: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tensors}
    tokens = 0
    for done, batch in enumerate(batches, start=1):
        for name, array in zip(tensors, session.run(list(tensors), dict(batch)), strict=True):
            waiting[name].append(array.reshape(-1, array.shape[-1]))
        tokens += max(len(arrays[-1]) for arrays in waiting.values())
        if tokens >= TOKENS_AT_ONCE or done == len(batches):
            for name, arrays in waiting.items():
                new = _summary(np.concatenate(arrays))
                seen[name] = seen[name].joined(new) if name in seen else new
                arrays.clear()
            tokens = 0
        if progress is not None:
            progress("calibrate", done, len(batches))
    return seen


def _summary(rows: NDArray[np.float32]) -> Activations:
    return Activations(rows.min(axis=0), rows.max(axis=0), (rows.T @ rows).astype(np.float64))


def _session_with(model: ir.Model, tensors: Sequence[str]) -> Any:
    import onnx
    import onnx_ir as ir
    import onnxruntime as ort

    proto = ir.to_proto(model)
    have = {output.name for output in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=n) for n in tensors if n not in have)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
