"""More passages than were encoded: texts, vectors and states recombined from real ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.encoded_passages import EncodedPassages
from secondpass.inference.tokenizer import TokenSequence
from secondpass.rerank.precomputed.types import Record, record_key
from secondpass.retrieve.store_protocol import Passage

NOISE = 0.3
"""Length of the noise that is added to a vector of unit length."""


class RecombinedPassages:
    """Passages by number: the encoded ones first, then recombined ones, always the same.

    A recombined passage has the first half of one text's words and the second half of
    another's; its vector is the mean of theirs with noise, of unit length.
    """

    def __init__(self, encoded: EncodedPassages) -> None:
        self.encoded = encoded

    def batch(self, start: int, end: int) -> list[Passage]:
        """Return the passages numbered from `start` to before `end`, with their vectors."""
        return [
            Passage(
                str(number),
                text,
                title,
                end=len(text),
                hash=str(number),
                embedding=vector,
            )
            for number, (title, text, vector) in enumerate(self._contents(start, end), start)
        ]

    def _contents(
        self, start: int, end: int
    ) -> Iterator[tuple[str | None, str, NDArray[np.float32]]]:
        passages, vectors = self.encoded.passages, self.encoded.vectors
        count = len(passages)
        for number in range(start, min(end, count)):
            yield passages[number].title, passages[number].text, vectors[number]
        for number in range(max(start, count), end):
            numbers = np.random.default_rng(number)
            one, other = (int(n) for n in numbers.integers(0, count, 2))
            noise = numbers.normal(size=vectors.shape[1]).astype(np.float32)
            noise *= NOISE / np.linalg.norm(noise)
            vector = vectors[one] + vectors[other]
            vector = vector / np.linalg.norm(vector) + noise
            text = join_halves(passages[one].text, passages[other].text)
            yield passages[one].title, text, vector / np.linalg.norm(vector)


def join_halves(one: str, other: str) -> str:
    """Return the first half of the words of one text and the second half of another's."""
    first, second = one.split(), other.split()
    return " ".join(first[: (len(first) + 1) // 2] + second[len(second) // 2 :])


def make_records(
    sequences: Sequence[TokenSequence], real: Sequence[Record], seed: int = 0
) -> list[tuple[bytes, Record]]:
    """Return records for windows that were not encoded: tokens' states drawn from real ones."""
    numbers = np.random.default_rng(seed)
    records = []
    for sequence in sequences:
        length = len(sequence[0])
        model = real[int(numbers.integers(len(real)))]
        rows = numbers.integers(0, model.tokens, length)
        record = Record(model.codes[rows], model.scales[rows], model.embedding)
        records.append((record_key(sequence), record))
    return records
