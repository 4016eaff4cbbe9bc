"""Precomputed data of documents: records of windows, and segments of texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.tokenizer import TokenSequence
from secondpass.inference.types import Float32
from secondpass.rerank.window_choice import count_gaps
from secondpass.rerank.windowing import PassageAggregation, windows_to_read

# A step of so many characters has another one behind it.
_GOES_ON = 15
_OF_DIGIT = np.zeros(128, np.int64)
_OF_DIGIT[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


@dataclass(frozen=True, slots=True)
class Segments:
    """The windows of one document, without their tokens.

    - `keys`: of the windows' records, see `record_key`; `lengths`: of the windows, in tokens.
    - `unread`: how many characters are in no window; `spans`: [start, end) of each window in
      the body, in characters; `size`, `coarse`: as in
      `DocumentWindows`.
    - `head`: how many tokens before the body each window has; `ranges`: [start, end) of each
      window in the body, in tokens; `steps`: where these tokens end, see `token_ends`.
    """

    keys: tuple[bytes, ...]
    lengths: tuple[int, ...]
    unread: int
    spans: tuple[tuple[int, int], ...]
    size: int
    coarse: int
    head: int
    ranges: tuple[tuple[int, int], ...]
    steps: str

    def token_ends(self) -> NDArray[np.int64]:
        """Return the offset in the body where each of its tokens ends, in characters."""
        steps = _OF_DIGIT[np.frombuffer(self.steps.encode("ascii"), np.uint8)]
        ends = steps.cumsum()
        return ends[steps < _GOES_ON] if "f" in self.steps else ends

    def choose(
        self, query: str, body: str, *, passages: PassageAggregation, tokens: int
    ) -> Segments:
        """Return the windows that are read where `tokens` of the document may be."""
        if len(self.keys) == 1:
            return self
        count = passages.count_windows(tokens, self.size)
        chosen = windows_to_read(query, body, self.spans, coarse=self.coarse, count=count)
        if len(chosen) == len(self.keys):
            return self
        return Segments(
            tuple(self.keys[i] for i in chosen),
            tuple(self.lengths[i] for i in chosen),
            self.unread + count_gaps(self.spans, chosen),
            tuple(self.spans[i] for i in chosen),
            self.size,
            sum(i < self.coarse for i in chosen),
            self.head,
            tuple(self.ranges[i] for i in chosen),
            self.steps,
        )

    def to_bytes(self) -> bytes:
        """Return the segments as JSON."""
        return json.dumps(
            [
                [key.hex() for key in self.keys],
                self.lengths,
                self.unread,
                self.spans,
                self.size,
                self.coarse,
                self.head,
                self.ranges,
                self.steps,
            ]
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Segments:
        """Parse what `to_bytes` wrote; raises ValueError or TypeError for anything else."""
        keys, lengths, unread, spans, size, coarse, head, ranges, steps = json.loads(data)
        return cls(
            tuple(map(bytes.fromhex, keys)),
            tuple(map(int, lengths)),
            int(unread),
            tuple((int(start), int(end)) for start, end in spans),
            int(size),
            int(coarse),
            int(head),
            tuple((int(start), int(end)) for start, end in ranges),
            str(steps),
        )


def token_steps(ends: Sequence[int]) -> str:
    """Return ascending offsets as differences, a hexadecimal digit each; f for 15 and more."""
    differences = [end - start for start, end in pairwise((0, *ends))]
    if max(differences, default=0) < len(_STEPS):
        return "".join([_STEPS[difference] for difference in differences])
    return "".join(map(_step, differences))


def _step(difference: int) -> str:
    more, rest = divmod(difference, _GOES_ON)
    return "f" * more + f"{rest:x}"


# Of nearly all tokens.
_STEPS = tuple(map(_step, range(256)))


@dataclass(frozen=True, slots=True)
class Record:
    """The compressed states of one window's tokens, and the window's embedding.

    - `codes`: int8 [tokens, codes]; `scales`: float16 [tokens]; the state of a token is its
      codes times its scale.
    - `embedding`: float32 [dimension], of unit length.
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float16]
    embedding: Float32

    @property
    def tokens(self) -> int:
        """How many tokens the window has, special ones included."""
        return len(self.scales)

    @property
    def nbytes(self) -> int:
        """How much memory the numbers take, in bytes."""
        return self.codes.nbytes + self.scales.nbytes + self.embedding.nbytes

    def to_bytes(self) -> bytes:
        """Return embedding, scales and codes in this order, little-endian."""
        return b"".join(
            (
                self.embedding.astype("<f4").tobytes(),
                self.scales.astype("<f2").tobytes(),
                self.codes.tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, codes: int, dimension: int) -> Record:
        """Parse what `to_bytes` wrote; raises ValueError for an impossible length."""
        rest = len(data) - 4 * dimension
        tokens, left_over = divmod(rest, codes + 2)
        if tokens < 1 or left_over:
            raise ValueError(f"{len(data)} bytes are not a record of {codes} codes a token")
        embedding = np.frombuffer(data, "<f4", dimension)
        scales = np.frombuffer(data, "<f2", tokens, 4 * dimension)
        packed = np.frombuffer(data, np.int8, tokens * codes, 4 * dimension + 2 * tokens)
        return cls(packed.reshape(tokens, codes), scales, embedding)


def record_key(sequence: TokenSequence) -> bytes:
    """Return the 16 bytes that identify a window: a BLAKE2b hash of its token ids."""
    ids, _ = sequence
    return hashlib.blake2b(ids.astype("<i8").tobytes(), digest_size=16).digest()
