"""Tokenizer: text to token ids, without ever reconfiguring what threads share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from tokenizers import Tokenizer as TokenizersTokenizer

from secondpass.errors import ModelDamagedError
from secondpass.inference.unicode import clean

# English WordPiece has about 4.5 characters a token. A longer text is tokenized in slices of
# this many characters for each token needed, so that 10 MB of text costs no more than the
# part of it that the model will read.
CHARACTERS_PER_TOKEN = 12


TokenSequence = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Token ids and segment ids of one sequence, each of shape [tokens]."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of one text, without special tokens.

    `ends[i]` is the character offset where token i ends; `characters` is the length of the
    text; `complete` is whether the ids cover the whole text.
    """

    ids: Sequence[int]
    ends: Sequence[int]
    characters: int
    complete: bool

    def ends_at(self, count: int) -> int:
        """Return where the first `count` tokens end, in characters."""
        return self.ends[count - 1] if count else 0


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """The special tokens around and between two sequences, with their segment ids."""

    prefix: tuple[tuple[int, int], ...]
    middle: tuple[tuple[int, int], ...]
    suffix: tuple[tuple[int, int], ...]
    segments: tuple[int, int]

    @property
    def special(self) -> int:
        """The number of special tokens of a pair."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)

    def join(self, first: Sequence[int], second: Sequence[int]) -> TokenSequence:
        """Return the ids and segment ids of a pair, each of shape [tokens]."""
        parts = (
            [i for i, _ in self.prefix],
            first,
            [i for i, _ in self.middle],
            second,
            [i for i, _ in self.suffix],
        )
        ids = np.fromiter(itertools.chain(*parts), dtype=np.int64, count=sum(map(len, parts)))
        segments = np.concatenate(
            [
                np.array([s for _, s in self.prefix], dtype=np.int64),
                np.full(len(first), self.segments[0], dtype=np.int64),
                np.array([s for _, s in self.middle], dtype=np.int64),
                np.full(len(second), self.segments[1], dtype=np.int64),
                np.array([s for _, s in self.suffix], dtype=np.int64),
            ]
        )
        return ids, segments


class Tokenizer:
    """A read-only tokenizer; every method may be called by several threads at once.

    With `read_special=False` a special token that is spelled out in a text, such as
    "<|im_end|>" in a document, is split like any other text and has no effect of its own.
    """

    def __init__(self, file: Path, *, read_special: bool = True) -> None:
        try:
            self._tokenizer = TokenizersTokenizer.from_file(str(file))
        except Exception as error:
            raise ModelDamagedError(
                "The tokenizer cannot be read", where=str(file), why=str(error)
            ) from error
        # Set once, before any thread uses it: changing these per call makes shared tokenizers
        # fail with "Already borrowed".
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = not read_special
        pad = self._tokenizer.token_to_id("[PAD]")
        self.pad_id: int = pad if pad is not None else self._pad_from_vocabulary()
        self.pair = self._pair_template()
        self._around = self._single_template()

    def _pad_from_vocabulary(self) -> int:
        pad = self._tokenizer.token_to_id("<pad>")
        return 0 if pad is None else pad

    def _pair_template(self) -> PairTemplate:
        probe = self._tokenizer.encode("a", "a")
        sequences = probe.sequence_ids
        items = list(zip(probe.ids, probe.type_ids, strict=True))
        first = [i for i, s in enumerate(sequences) if s == 0]
        second = [i for i, s in enumerate(sequences) if s == 1]
        return PairTemplate(
            prefix=tuple(items[: first[0]]),
            middle=tuple(items[first[-1] + 1 : second[0]]),
            suffix=tuple(items[second[-1] + 1 :]),
            segments=(probe.type_ids[first[0]], probe.type_ids[second[0]]),
        )

    def _single_template(self) -> tuple[list[int], list[int]]:
        probe = self._tokenizer.encode("a")
        inside = [i for i, s in enumerate(probe.sequence_ids) if s == 0]
        return probe.ids[: inside[0]], probe.ids[inside[-1] + 1 :]

    @property
    def special(self) -> int:
        """The number of special tokens around a single sequence."""
        return sum(map(len, self._around))

    def count(self, text: str) -> int:
        """Return how many tokens `text` has, special tokens not counted."""
        return len(self.ids(text))

    def ids(self, text: str) -> list[int]:
        """Return the ids of a whole text, without the special tokens around it."""
        return list(self._tokenizer.encode(clean(text), add_special_tokens=False).ids)

    def single(self, ids: Sequence[int]) -> TokenSequence:
        """Return (ids, segment ids) of one sequence between the model's special tokens."""
        before, after = self._around
        joined = np.array([*before, *ids, *after], dtype=np.int64)
        return joined, np.zeros_like(joined)

    def encode(self, texts: Sequence[str], limit: int) -> list[Tokens]:
        """Return the first tokens of each text: all of them, or at least `limit`.

        The end of a text much longer than `limit` tokens is not tokenized. Of one with hardly
        any tokens, such as a word of megabytes, only the beginning is.
        """
        slice_length = limit * CHARACTERS_PER_TOKEN
        cleaned = [clean(text) for text in texts]
        heads = [_head(text, 0, slice_length) for text in cleaned]
        encodings = self._tokenizer.encode_batch(
            [text[:head] for text, head in zip(cleaned, heads, strict=True)],
            add_special_tokens=False,
        )
        return [
            self._continue(text, head, encoding, limit, slice_length)
            for text, head, encoding in zip(cleaned, heads, encodings, strict=True)
        ]

    def _continue(
        self, text: str, position: int, encoding: Encoding, limit: int, slice_length: int
    ) -> Tokens:
        ids = encoding.ids
        ends = [end for _, end in encoding.offsets]
        longest = max(_MOST_SLICES * slice_length, _MIN_CHARACTERS)
        while len(ids) < limit and position < min(len(text), longest):
            stop = _head(text, position, slice_length)
            encoding = self._tokenizer.encode(text[position:stop], add_special_tokens=False)
            ids = ids + encoding.ids
            ends = ends + [position + end for _, end in encoding.offsets]
            position = stop
        return Tokens(ids, ends, len(text), position >= len(text))


# Of a text whose tokens are much longer than expected, so many slices are read at most, and at
# least so many characters: spaces at the beginning give no tokens.
_MOST_SLICES = 2
_MIN_CHARACTERS = 1_000_000


def _head(text: str, start: int, length: int) -> int:
    """Return the end of a slice of about `length` characters, at a space if there is one."""
    stop = start + length
    if stop >= len(text):
        return len(text)
    space = text.rfind(" ", start, stop)
    return space if space > start else stop
