"""A cache of scores by query and text, in memory and in a file."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secondpass._version import __version__
from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Scored
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.score_store import (
    CachedScore,
    ScoreMemory,
    ScoreStore,
    is_cacheable,
)
from secondpass.rerank.policies.wrapper import RerankerWrapper, join_reasons
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.storage import expand_home
from secondpass.types import Candidate, ScoreKind, Status

ENTRIES = 100_000
MAX_BYTES = 256 * 1024 * 1024


def pair_keys(
    identity: str, query: str, options: ScoringOptions, candidates: Sequence[Candidate]
) -> list[bytes]:
    """Return the 16-byte cache key of each candidate's pair, a BLAKE2b hash.

    It covers the model, the version of this package (windowing and batching change scores too),
    the query, the texts and the options, except `top_k` and `started`.
    """
    passages = options.passages
    common = [
        identity,
        __version__,
        query,
        options.fields,
        options.template,
        options.max_length,
        options.max_tokens_per_doc,
        options.max_query_tokens,
        [passages.aggregate, passages.overlap, passages.limit],
        *([] if options.instructions is None else [options.instructions]),
    ]
    # JSON separates the parts and escapes lone surrogates.
    common_hash = hashlib.blake2b(json.dumps(common).encode(), digest_size=16)
    keys = []
    for head, body in options.texts(candidates):
        pair_hash = common_hash.copy()
        head_bytes = head.encode("utf-8", "surrogatepass")
        body_bytes = body.encode("utf-8", "surrogatepass")
        # A token has at least a byte: a shorter text is read whole, whatever the share is.
        size, share = len(head_bytes) + len(body_bytes), options.token_share
        # The length separates head and body.
        pair_hash.update(b"%d:%d:" % (share if size > share else 0, len(head_bytes)))
        pair_hash.update(head_bytes + body_bytes)
        keys.append(pair_hash.digest())
    return keys


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Hits and misses of a cache since it was made, and its size.

    - `memory_hits`, `file_hits`, `misses`: pairs found in memory, in the file, in neither.
    - `entries`: scores in memory; `file_entries`, `file_bytes`: in the file, 0 without one.
    """

    memory_hits: int
    file_hits: int
    misses: int
    entries: int
    file_entries: int
    file_bytes: int


class Cached(RerankerWrapper):
    """Caches the score of every pair of query and text.

    - `file`: the path of an SQLite file that several processes may share; None caches in memory
      only.
    - `entries`: the limit of scores in memory (some 500 bytes each), least recently used out
      first; `max_bytes`: about the size of the file, oldest scores out first.

    The cache key has all that a score depends on: the model with its precision and calibration
    (`BaseReranker.identity`), the version of this package, the query, the texts and the scoring
    options. A damaged file is renamed to NAME.damaged. Problems with the file are in `reason`
    and fail no search.

    Only for rerankers that score pairs: one without an `identity`, such as most policies,
    raises `InputError`; scores that depend on the whole list (`ScoreKind.RANK`) are passed
    through and not cached.
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
                why="it has no identity that tells its scores from those of others",
                fix="Put the cache inside policies, around a model: Blend(Cached(Reranker())).",
            )
        path = None if file is None else expand_home(file)
        if path is not None and (path.is_dir() or not path.name):
            raise InputError("A cache is a file, not a folder", where=str(path))
        super().__init__(reranker)
        self._identity = identity
        self._memory = ScoreMemory(require_count("entries", entries))
        size = require_count("max_bytes", max_bytes)
        self._store = None if path is None else ScoreStore(path, max_bytes=size)
        # Shared by the copies that `map_base` makes, as memory and file are.
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """The fingerprint of the wrapped reranker."""
        return self._identity

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return cached scores, and score the other pairs with the wrapped reranker."""
        keys = pair_keys(self._identity, query, options, candidates)
        cached = self._memory.get(keys)
        memory_hits, problems = len(cached), list[str | None]()
        missing = [key for key in dict.fromkeys(keys) if key not in cached]
        if missing and self._store is not None:
            from_file, problem = self._store.get(missing)
            self._memory.put(from_file)
            cached |= from_file
            problems.append(problem)
        # The first position of each missing key: copies of a text are scored once.
        absent = {key: i for i, key in reversed([*enumerate(keys)]) if key not in cached}
        with self._lock:
            self._counts["memory_hits"] += memory_hits
            self._counts["file_hits"] += len(cached) - memory_hits
            self._counts["misses"] += len(absent)
        if not absent:
            kind = cached[keys[0]].kind
            return Scored(
                [cached[key].score for key in keys], kind, reason=join_reasons(problems)
            )
        positions = sorted(absent.values())
        fresh = self.reranker.score(query, [candidates[i] for i in positions], options)
        if fresh.kind is ScoreKind.RANK or fresh.status is not Status.RERANKED:
            if len(positions) == len(candidates):
                return fresh
            return self.reranker.score(query, candidates, options)
        new = {
            keys[i]: CachedScore(score, fresh.kind)
            for i, score in zip(positions, fresh.scores, strict=True)
        }
        cacheable = {key: item for key, item in new.items() if is_cacheable(*item)}
        self._memory.put(cacheable)
        if self._store is not None:
            problems.append(self._store.put(cacheable))
        cached |= new
        return Scored(
            [cached[key].score for key in keys],
            fresh.kind,
            pairs=fresh.pairs,
            tokens=fresh.tokens,
            reason=join_reasons([fresh.reason, *problems]),
        )

    def stats(self) -> CacheStats:
        """Return hits and misses so far, and the size of the cache."""
        in_file = (0, 0) if self._store is None else self._store.size()
        with self._lock:
            return CacheStats(
                self._counts["memory_hits"],
                self._counts["file_hits"],
                self._counts["misses"],
                len(self._memory),
                *in_file,
            )

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        if self._store is not None:
            self._store.close()
