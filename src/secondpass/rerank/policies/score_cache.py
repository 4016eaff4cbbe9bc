"""A cache of scores by query and text, in memory, and in a file or in Redis."""

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
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.inputs import require_count
from secondpass.rerank.policies.redis_store import RedisScores, RedisURL, is_redis_url
from secondpass.rerank.policies.score_store import (
    CachedScore,
    ScoreMemory,
    ScoreStore,
    SharedScores,
    is_cacheable,
)
from secondpass.rerank.policies.wrapper import RerankerWrapper, join_reasons
from secondpass.rerank.score import Scored
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
    the query, the texts and the options, except `top_k`, `early_exit_at` and
    `started`.
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

    - `memory_hits`, `file_hits`, `misses`: pairs found in memory, in the file or in Redis, in
      neither.
    - `entries`: scores in memory; `file_entries`, `file_bytes`: in the file, 0 without one.
    - `failures`: how many times the file or Redis could not be read or written.
    """

    memory_hits: int
    file_hits: int
    misses: int
    entries: int
    file_entries: int
    file_bytes: int
    failures: int = 0


class Cached(RerankerWrapper):
    """Caches the score of every pair of query and text.

    - `file`: the path of an SQLite file that several processes may share, or the URL of a
      Redis that several machines share, `redis://HOST:PORT/DB?ttl=SECONDS&timeout_ms=N`
      (`rediss://` with TLS; the password in REDIS_PASSWORD or in the URL); None caches in
      memory only.
    - `entries`: the limit of scores in memory (some 500 bytes each), least recently used out
      first; `max_bytes`: about the size of the file, oldest scores out first. A Redis has
      limits of its own (`maxmemory`).

    The cache key has all that a score depends on: the model with its precision and calibration
    (`BaseReranker.identity`), the version of this package, the query, the texts and the scoring
    options. A damaged file is renamed to NAME.damaged. Problems with the file or with Redis are
    in `reason` and fail no search; a Redis that is not there delays none, after the first.

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
        super().__init__(reranker)
        self._identity = identity
        self._memory = ScoreMemory(require_count("entries", entries))
        self._store = _open_store(file, require_count("max_bytes", max_bytes))
        # Shared by the copies that `map_base` makes, as memory and file are.
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """The fingerprint of the wrapped reranker."""
        return self._identity

    @property
    def default_rescorer(self) -> str | None:
        """The model that reads the first results of the wrapped reranker again."""
        return self.reranker.default_rescorer

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Return cached scores, and score the other pairs with the wrapped reranker."""
        # The same model gives other scores over the smaller states of an index.
        identity = f"{self._identity}{self.reranker.base.states_mark}"
        keys = pair_keys(identity, query, options, candidates)
        cached = self._memory.get(keys)
        memory_hits, problems = len(cached), list[str | None]()
        missing = [key for key in dict.fromkeys(keys) if key not in cached]
        if missing and self._store is not None:
            from_file, problem = self._store.get(missing)
            self._memory.put(from_file)
            cached |= from_file
            problems.append(self._count_failure(problem))
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
        if self._store is not None and cacheable:
            problems.append(self._count_failure(self._store.put(cacheable)))
        cached |= new
        return Scored(
            [cached[key].score for key in keys],
            fresh.kind,
            pairs=fresh.pairs,
            tokens=fresh.tokens,
            query_tokens=fresh.query_tokens,
            reason=join_reasons([fresh.reason, *problems]),
        )

    def stats(self, *, sizes: bool = True) -> CacheStats:
        """Return hits and misses so far, and the size of the cache.

        Without `sizes` the file, whose scores take time to count, has 0 entries and bytes.
        """
        in_file = self._store.size() if sizes and self._store is not None else (0, 0)
        with self._lock:
            return CacheStats(
                self._counts["memory_hits"],
                self._counts["file_hits"],
                self._counts["misses"],
                len(self._memory),
                *in_file,
                failures=self._counts["failures"],
            )

    def close(self) -> None:
        """Close the file or the connections; they are opened again when they are needed."""
        if self._store is not None:
            self._store.close()

    def _count_failure(self, problem: str | None) -> str | None:
        if problem is not None:
            with self._lock:
                self._counts["failures"] += 1
        return problem


def _open_store(place: str | Path | None, max_bytes: int) -> SharedScores | None:
    """Return where scores are shared, of the path or URL of a cache; raises InputError."""
    if place is None:
        return None
    if isinstance(place, str) and is_redis_url(place):
        return RedisScores(RedisURL.parse(place))
    path = expand_home(place)
    if path.is_dir() or not path.name:
        raise InputError("A cache is a file, not a folder", where=str(path))
    return ScoreStore(path, max_bytes=max_bytes)
