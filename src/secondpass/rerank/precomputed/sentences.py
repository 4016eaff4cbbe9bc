"""Scores of sentences from the stored states of their tokens, without another encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelDamagedError
from secondpass.inference.runtimes.onnxruntime import OnnxRuntime
from secondpass.inference.types import Runtime
from secondpass.inference.unicode import clean
from secondpass.rerank.precomputed.records import WINDOWS_AT_ONCE
from secondpass.rerank.precomputed.scoring import EncodedQuery, run_records, score_records
from secondpass.rerank.precomputed.types import Record, Segments
from secondpass.rerank.spans import Sentences

RecordGetter = Callable[[Sequence[bytes]], Mapping[bytes, Record]]

_OUTPUTS = ["answers", "cosines", "word_weights"]
# What depends on the query alone is computed once a batch, and costs as much as many tokens.
_PADDING_STEP = 64


class SentenceSlice(NamedTuple):
    """The tokens of a sentence in a record: `start` and `end` of those in the window `key`."""

    key: bytes
    start: int
    end: int

    def cut(self, record: Record) -> Record:
        """Return the record of these tokens and the special ones at the record's ends.

        The embedding is the whole window's, so that all sentences of a window share it.
        """
        kept = np.array([0, *range(self.start, self.end), record.tokens - 1])
        return Record(record.codes[kept], record.scales[kept], record.embedding)


def slice_sentences(
    text: str, sentences: Sentences, segments: Segments
) -> list[SentenceSlice | None]:
    """Return where the tokens of each sentence are, None where no window has any.

    - `text`: the body; `segments`: its windows that are read.

    A sentence is taken from the window that has most of its tokens; of several, from the one in
    which it is furthest from the ends, and so has most context. One special token is in front.
    """
    windows = list(zip(segments.keys, segments.ranges, strict=True))
    in_front = 1 + segments.head
    slices: list[SentenceSlice | None] = []
    for first, last in _token_ranges(text, sentences, segments.token_ends()):
        found: list[tuple[int, int, SentenceSlice]] = []
        for key, (start, end) in windows:
            a, b = max(first, start), min(last, end)
            if a < b:
                one = SentenceSlice(key, a - start + in_front, b - start + in_front)
                found.append((b - a, min(a - start, end - b), one))
        slices.append(max(found, key=itemgetter(0, 1))[2] if found else None)
    return slices


def open_spans_graph(file: Path) -> OnnxRuntime:
    """Open the graph of `score_in_windows`.

    Raises `ModelDamagedError` for one without its outputs, such as one that scores texts.
    """
    # Its layers are so small that a second thread costs as much as it saves.
    graph = OnnxRuntime(file, threads=1)
    if not set(_OUTPUTS) <= set(graph.outputs):
        raise ModelDamagedError(
            "The reranker cannot score sentences",
            where=str(file),
            why=f"its outputs are {', '.join(graph.outputs)}, not {', '.join(_OUTPUTS)}",
            fix="Train it again with scripts/train_answers.py, or leave spans out.",
        )
    return graph


def score_in_windows(
    graph: Runtime,
    query: EncodedQuery,
    slices: Sequence[SentenceSlice | None],
    get_records: RecordGetter,
    *,
    longest: int,
) -> list[float | None]:
    """Return the score of each slice, None for None, by a graph that reads whole windows.

    The graph says of each token whether it answers, and how near it is to each word of the
    query: its outputs are `answers` [windows, tokens], `cosines` [windows, words, tokens] and
    `word_weights` [1, words]. A sentence has the weighted sum of its nearest tokens, and the
    logarithm of the mean exponential of its answers.
    """
    logits: list[float | None] = [None] * len(slices)
    for some, records in _some_windows(slices, get_records):
        keys = list(some)
        for rows, outputs in run_records(
            graph,
            query,
            [records[key] for key in keys],
            _OUTPUTS,
            longest=longest,
            step=_PADDING_STEP,
        ):
            length = outputs["answers"].shape[1]
            placed = sorted(
                (row * length + one.start, row * length + one.end, position)
                for row, place in enumerate(rows)
                for position, one in some[keys[place]]
            )
            starts, ends, positions = zip(*placed, strict=True)
            values = _pool_tokens(outputs, starts, ends)
            for position, value in zip(positions, values.tolist(), strict=True):
                logits[position] = value
    return logits


def _pool_tokens(
    outputs: Mapping[str, NDArray[Any]], starts: Sequence[int], ends: Sequence[int]
) -> NDArray[np.float64]:
    """Return the scores of sentences, by their places among the tokens of all windows."""
    answers, cosines, word_weights = (outputs[name] for name in _OUTPUTS)
    # Between two sentences are others' tokens: of the parts that end where the next one starts,
    # every second is left out. The last needs one token behind it.
    bounds = np.array([starts, ends]).T.ravel()
    words = cosines.shape[1]
    near = np.pad(cosines.transpose(1, 0, 2).reshape(words, -1), ((0, 0), (0, 1)))
    nearest = np.maximum.reduceat(near, bounds, axis=1)[:, ::2]
    # Not a product of matrices, whose last bits depend on how many sentences there are.
    matched = (word_weights[0][:, None] * nearest).sum(axis=0)
    pooled = np.logaddexp.reduceat(np.append(answers.astype(np.float64), 0.0), bounds)[::2]
    scores: NDArray[np.float64] = matched + pooled - np.log(bounds[1::2] - bounds[::2])
    return scores


def score_slices(
    graph: Runtime,
    query: EncodedQuery,
    slices: Sequence[SentenceSlice | None],
    get_records: RecordGetter,
    *,
    longest: int,
) -> list[float | None]:
    """Return the score of each slice, None for None, by a graph that scores documents."""
    logits: list[float | None] = [None] * len(slices)
    for some, records in _some_windows(slices, get_records):
        placed = [(i, one.cut(records[key])) for key in some for i, one in some[key]]
        values = score_records(graph, query, [record for _, record in placed], longest=longest)
        for (i, _), value in zip(placed, values.tolist(), strict=True):
            logits[i] = value
    return logits


def _some_windows(
    slices: Sequence[SentenceSlice | None], get_records: RecordGetter
) -> Iterator[tuple[dict[bytes, list[tuple[int, SentenceSlice]]], Mapping[bytes, Record]]]:
    """Yield slices with their positions by window, and the windows' records.

    `get_records` is called for at most `WINDOWS_AT_ONCE` windows at a time.
    """
    by_window: dict[bytes, list[tuple[int, SentenceSlice]]] = {}
    for position, one in enumerate(slices):
        if one is not None:
            by_window.setdefault(one.key, []).append((position, one))
    keys = list(by_window)
    for first in range(0, len(keys), WINDOWS_AT_ONCE):
        some = {key: by_window[key] for key in keys[first : first + WINDOWS_AT_ONCE]}
        yield some, get_records(list(some))


def _token_ranges(
    text: str, sentences: Sentences, ends: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Yield [first, last) of the tokens that end in each sentence."""
    # Tokens are those of the cleaned text, in which a surrogate pair is one character.
    if len(clean(text)) != len(text):
        sentences = [
            (len(clean(text[:start])), len(clean(text[:end]))) for start, end in sentences
        ]
    bounds = np.array(sentences, np.int64).reshape(-1, 2)
    first, last = ends.searchsorted(bounds.T, side="right")
    yield from zip(first.tolist(), last.tolist(), strict=True)
