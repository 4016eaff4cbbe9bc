"""A kept score as bytes, with a checksum."""

from __future__ import annotations

import math
import struct
import zlib

from secondpass.rerank.base import Score
from secondpass.rerank.policies.memory import Kept
from secondpass.types import ScoreKind

# value, probability (NaN for none), windows, unread, kind
_FIELDS = struct.Struct("<ddIQB")
_CHECKSUM = struct.Struct("<I")
_KINDS = (ScoreKind.LOGIT, ScoreKind.PROBABILITY, ScoreKind.SIMILARITY)


def can_keep(score: Score, kind: ScoreKind) -> bool:
    """Return whether a score is one of a pair, and nothing of it would be lost."""
    return kind in _KINDS and score.scored and not score.parts and math.isfinite(score.value)


def pack(key: bytes, kept: Kept) -> bytes:
    """Return the bytes of a score; the checksum is also of its key."""
    score, kind = kept
    probability = math.nan if score.probability is None else score.probability
    data = _FIELDS.pack(
        score.value, probability, score.windows, score.unread, _KINDS.index(kind)
    )
    return _CHECKSUM.pack(_sum(key, data)) + data


def unpack(key: bytes, packed: bytes) -> Kept:
    """Return what `pack` was given, to the last bit; raises ValueError for damaged bytes."""
    data = packed[_CHECKSUM.size :]
    if len(data) != _FIELDS.size or packed[: _CHECKSUM.size] != _CHECKSUM.pack(_sum(key, data)):
        raise ValueError("the checksum is not that of the score")
    value, probability, windows, unread, kind = _FIELDS.unpack(data)
    chance = None if math.isnan(probability) else probability
    return Kept(Score(value, chance, windows, unread), _KINDS[kind])


def _sum(key: bytes, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key))
