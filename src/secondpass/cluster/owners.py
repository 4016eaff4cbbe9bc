"""Which shard reads a passage, and the scores of a list that several shards have read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.wrapper import join_reasons, merge_scores
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.segments import Text
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import Sentences
from secondpass.types import Candidate, ScoreKind

_DEFAULT = ScoringOptions()


def owner_of(key: bytes, shards: int) -> int:
    """Return the number of the shard, from 0, that owns a text with this key of 16 bytes."""
    return int.from_bytes(key[:8], "big") % shards


def find_owners(
    reranker: BaseReranker, candidates: Sequence[Candidate], shards: int
) -> list[int]:
    """Return the owner of each candidate, by a hash of its title and text.

    For a precomputed reranker the hash is the key under which the windows of a text are
    stored, so that a file of states can be split without the passages. Whatever a search's
    options read of a passage, its owner is the same.
    """
    return [owner_of_text(reranker.base, text, shards) for text in _DEFAULT.texts(candidates)]


def owner_of_text(base: BaseReranker, text: Text, shards: int) -> int:
    """Return the owner of a (head, body) as a model without policies reads it."""
    key = base.segments_key(text) if isinstance(base, PrecomputedReranker) else None
    return owner_of(_hash(text) if key is None else key, shards)


def _hash(text: Text) -> bytes:
    head, body = text
    content = f"{len(head)} {head}{body}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).digest()


def split_by_owner(owners: Sequence[int]) -> dict[int, list[int]]:
    """Return the positions that each shard owns, in their order."""
    positions: dict[int, list[int]] = {}
    for position, owner in enumerate(owners):
        positions.setdefault(owner, []).append(position)
    return positions


@dataclass(frozen=True, slots=True)
class Unread:
    """What a shard did not read: how many documents, and why."""

    shard: int
    documents: int
    why: str


def describe_unread(unread: Sequence[Unread], shards: int, documents: int) -> str | None:
    """Return which shards did not read how many of all documents, or None where all did."""
    if not unread:
        return None
    count = sum(one.documents for one in unread)
    whys = "; ".join(
        f"shard {one.shard} of {shards} {one.why}"
        for one in sorted(unread, key=lambda one: one.shard)
    )
    return f"{count} of {documents} documents were not read: {whys}"


def join_scores(
    parts: Mapping[int, Scored],
    positions: Mapping[int, Sequence[int]],
    count: int,
    *,
    unread: Sequence[Unread] = (),
    shards: int = 1,
) -> Scored:
    """Return the scores of all `count` candidates, of which each shard has read its own.

    `parts` and `positions` are by shard; those without a part stay unscored, below all that
    were read. At least one shard has answered.
    """
    scores: dict[int, Score] = {}
    for shard, scored in parts.items():
        scores |= dict(zip(positions[shard], scored.scores, strict=True))
    return merge_scores(
        scores,
        count,
        parts=list(parts.values()),
        reason=describe_unread(unread, shards, count),
    )


def join_sentences(
    parts: Mapping[int, Scored],
    positions: Mapping[int, Sequence[int]],
    sentences: Sequence[Sentences],
    *,
    unread: Sequence[Unread] = (),
    shards: int = 1,
) -> Scored:
    """Return the scores of the sentences of all candidates, in their order.

    The arguments are those of `join_scores`; sentences of shards without a part are unscored.
    """
    by_candidate: dict[int, Sequence[Score]] = {}
    for shard, scored in parts.items():
        start = 0
        for position in positions[shard]:
            stop = start + len(sentences[position])
            by_candidate[position] = scored.scores[start:stop]
            start = stop
    missing = Score(0.0, windows=0, scored=False)
    scores = [
        score
        for position, spans in enumerate(sentences)
        for score in by_candidate.get(position, [missing] * len(spans))
    ]
    reasons = [part.reason for part in parts.values()]
    return Scored(
        scores,
        next((part.kind for part in parts.values()), ScoreKind.LOGIT),
        pairs=sum(part.pairs for part in parts.values()),
        tokens=sum(part.tokens for part in parts.values()),
        reason=join_reasons([*reasons, describe_unread(unread, shards, len(sentences))]),
    )
