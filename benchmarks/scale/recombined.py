"""More passages than were encoded: vectors and states recombined from real ones, and texts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.encoded_passages import EncodedPassages
from scale.real_texts import RealTexts, Text
from secondpass.inference.tokenizer import TokenSequence
from secondpass.rerank.precomputed.types import Record, record_key
from secondpass.retrieve.store_protocol import Passage

NOISE = 0.3
"""Length of the noise that is added to a vector of unit length."""


class RecombinedPassages:
    """Passages by number: the encoded ones first, then recombined ones, always the same.

    The vector of a recombined passage is the mean of two encoded ones with noise, of unit
    length. Its text is a real one while there are `texts`, so that there are as many
    different words as in a real index; then the first half of one and the second of another.
    """

    def __init__(self, encoded: EncodedPassages, texts: Sequence[Text] | RealTexts) -> None:
        self.encoded, self.texts = encoded, texts

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
            title, text = self._text(number, numbers)
            yield title, text, vector / np.linalg.norm(vector)

    def _text(self, number: int, numbers: np.random.Generator) -> Text:
        if number < len(self.texts):
            return self.texts[number]
        one, other = (self.texts[int(n)] for n in numbers.integers(0, len(self.texts), 2))
        return one[0], join_halves(one[1], other[1])


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
