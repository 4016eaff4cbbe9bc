"""Keep the scores of pairs, in memory and in a file, and compute each only once.

The name of a pair: everything that its score depends on, as sixteen bytes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass._version import __version__
from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.score_store import Kept, ScoreMemory, ScoreStore, can_keep
from secondpass.rerank.policies.wrapper import join
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind, Status

if TYPE_CHECKING:
    from secondpass.rerank.precomputed.store import StateStore


def pair_keys(
    identity: str, query: str, reading: ScoringOptions, candidates: Sequence[Candidate]
) -> list[bytes]:
    """Return a BLAKE2b for each candidate: of model, version, reading, query and texts.

    The version of this package counts, since how texts are cut and batched changes scores
    too. `top_k` and `started` of the reading do not count.
    """
    passages = reading.passages
    said = [
        identity,
        __version__,
        query,
        reading.fields,
        reading.template,
        reading.max_length,
        [passages.aggregate, passages.overlap, passages.limit],
    ]
    # JSON keeps parts apart and escapes lone surrogates.
    start = hashlib.blake2b(json.dumps(said).encode(), digest_size=16)
    keys = []
    for head, body in reading.texts(candidates):
        name = start.copy()
        before = head.encode("utf-8", "surrogatepass")
        # The length keeps head and body apart.
        name.update(b"%d:" % len(before) + before)
        name.update(body.encode("utf-8", "surrogatepass"))
        keys.append(name.digest())
    return keys


ENTRIES = 100_000
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache did since it was made, and what it holds.

    Pairs found in memory and in the file, and those that were found in neither; scores in
    memory; scores in the file and its bytes, 0 without one.
    """

    memory_hits: int
    file_hits: int
    misses: int
    entries: int
    file_entries: int
    file_bytes: int


class Cached(BaseReranker):
    """Keeps the score of every pair of query and text, and computes each only once.

    - `file`: an SQLite file that several processes may share; None keeps scores in memory.
    - `entries`: the most scores in memory (some 500 bytes each), those not used for longest
      out first; `max_bytes`: about the size of the file, oldest scores out first.

    A score is kept under all that it depends on: the model with its precision and
    calibration (`BaseReranker.identity`), the version of this package, the query, the texts
    and how they are read. A file that is damaged is set aside as NAME.damaged; what is wrong
    with one is told in `reason` and fails no search.

    Only for rerankers that score pairs. One without an `identity`, such as most policies, is
    refused with `InputError`; the scores of a list (`ScoreKind.RANK`) are passed through and
    not kept.
    """

    def __init__(
        self,
        reranker: BaseReranker,
        file: str | Path | None = None,
        *,
        entries: int = ENTRIES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        identity = reranker.identity
        if identity is None:
            raise InputError(
                f"{type(reranker).__name__} cannot be cached",
                why="nothing tells its scores from those of another (its identity is None)",
                fix="Put the cache inside policies, around a model: Blend(Cached(Reranker())).",
            )
        place = None if file is None else Path(file).expanduser()
        if place is not None and (place.is_dir() or not place.name):
            raise InputError("A cache is a file, not a folder", where=str(place))
        self.reranker = reranker
        self._identity = identity
        self._memory = ScoreMemory(require_count("entries", entries))
        size = require_count("max_bytes", max_bytes)
        self._store = None if place is None else ScoreStore(place, max_bytes=size)
        self._counts = [0, 0, 0]
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The name of the wrapped reranker's model."""
        return self.reranker.model

    @property
    def base(self) -> BaseReranker:
        """The backend at the bottom of the wrapped reranker."""
        return self.reranker.base

    @property
    def identity(self) -> str:
        """What tells the wrapped reranker's scores from those of any other."""
        return self._identity

    def with_states(self, store: StateStore) -> Cached:
        """Return this cache with the store handed on; what it keeps is shared."""
        twin = copy.copy(self)
        twin.reranker = self.reranker.with_states(store)
        return twin

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Return kept scores, and have the reranker compute the others."""
        keys = pair_keys(self._identity, query, reading, candidates)
        kept = self._memory.get(keys)
        in_memory, problems = len(kept), list[str | None]()
        missing = [key for key in dict.fromkeys(keys) if key not in kept]
        if missing and self._store is not None:
            from_file, problem = self._store.get(missing)
            self._memory.put(from_file)
            kept |= from_file
            problems.append(problem)
        absent = {key: i for i, key in reversed([*enumerate(keys)]) if key not in kept}
        with self._lock:
            self._counts[0] += in_memory
            self._counts[1] += len(kept) - in_memory
            self._counts[2] += len(absent)
        if not absent:
            kind = kept[keys[0]].kind
            return Scored([kept[key].score for key in keys], kind, reason=join(problems))
        places = sorted(absent.values())
        fresh = self.reranker.score(query, [candidates[i] for i in places], reading)
        if fresh.kind is ScoreKind.RANK or fresh.status is not Status.RERANKED:
            if len(places) == len(candidates):
                return fresh
            return self.reranker.score(query, candidates, reading)
        new = {
            keys[i]: Kept(score, fresh.kind)
            for i, score in zip(places, fresh.scores, strict=True)
        }
        keep = {key: one for key, one in new.items() if can_keep(*one)}
        self._memory.put(keep)
        if self._store is not None:
            problems.append(self._store.put(keep))
        kept |= new
        return Scored(
            [kept[key].score for key in keys],
            fresh.kind,
            pairs=fresh.pairs,
            tokens=fresh.tokens,
            reason=join([fresh.reason, *problems]),
        )

    def stats(self) -> CacheStats:
        """Return hits and misses so far, and what is kept."""
        in_file = (0, 0) if self._store is None else self._store.size()
        with self._lock:
            in_memory, from_file, misses = self._counts
            return CacheStats(in_memory, from_file, misses, len(self._memory), *in_file)

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        if self._store is not None:
            self._store.close()
