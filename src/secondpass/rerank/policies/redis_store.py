"""Scores of pairs in Redis, which many servers share.

A score can always be computed again, so Redis never fails a search and hardly delays one: every
exchange has a short time-out, and after a failure no search asks Redis until a thread beside
them has reached it again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from secondpass.errors import InputError, MissingExtraError, nearest
from secondpass.rerank.policies.score_store import MAX_PACKED, CachedScore, pack, unpack

if TYPE_CHECKING:
    from redis import Redis

TTL = 7 * 24 * 3600
TIMEOUT_MS = 20
# Before the keys of scores in Redis, with the format of the values.
_PREFIX = b"secondpass:score:1:"
_SCHEMES = ("redis", "rediss")
_PARAMETERS = ("ttl", "timeout_ms")
_PORT = 6379
# Seconds after a failure until Redis is looked for again.
_PAUSE = 5.0
# One exchange has the scores of a search; more are sent in parts, so that none takes long.
_KEYS_AT_ONCE = 1000


def is_redis_url(place: object) -> bool:
    """Return whether a cache is named by a URL; raises InputError for one that is not Redis's.

    A path of a file has no "://".
    """
    if not isinstance(place, str) or "://" not in place:
        return False
    scheme = place.partition("://")[0].lower()
    if scheme in _SCHEMES:
        return True
    raise InputError(
        f"scores cannot be cached at {scheme}://",
        why="a cache is a file or a Redis",
        fix="Write the path of a file, or redis://HOST:PORT/DB (rediss:// with TLS).",
    )


@dataclass(frozen=True, slots=True)
class RedisURL:
    """A parsed `redis://[user[:password]@]host[:port][/db]`; printing it shows no secret.

    - `tls`: whether the scheme is `rediss`.
    - `user`, `password`: of the URL, or else of REDIS_USERNAME and REDIS_PASSWORD; None for
      none.
    - `ttl`: seconds that a score is kept, a parameter of the URL; 604800, a week, by default.
    - `timeout_ms`: milliseconds for a connection and for an answer, a parameter of the URL; 20
      by default.
    """

    host: str
    port: int = _PORT
    db: int = 0
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ttl: int = TTL
    timeout_ms: float = TIMEOUT_MS

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{host}:{self.port}/{self.db}"

    @classmethod
    def parse(cls, url: str) -> RedisURL:
        """Parse a URL; raises InputError, whose text has no part of it, for a wrong one."""
        try:
            parts = urlsplit(url)
            port = _PORT if parts.port is None else parts.port
        except ValueError:
            raise _bad_url("its host or its port is not valid") from None
        path = parts.path.removeprefix("/")
        if "@" in path + parts.query or parts.fragment:
            # The end of a password that has one of / ? # is taken for a path or a parameter.
            raise _bad_url("it has an @ or a # too many")
        if not parts.hostname or not (path == "" or (path.isascii() and path.isdigit())):
            raise _bad_url("it needs a host, and a database is a number")
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        for name in given:
            if name not in _PARAMETERS:
                raise _bad_url(f"unknown parameter {name!r}. {nearest(name, _PARAMETERS)}")
        return cls(
            parts.hostname,
            port,
            int(path or 0),
            parts.scheme.lower() == "rediss",
            _secret(parts.username, "REDIS_USERNAME"),
            _secret(parts.password, "REDIS_PASSWORD"),
            int(_positive(given, "ttl", TTL)),
            _positive(given, "timeout_ms", TIMEOUT_MS),
        )


class RedisScores:
    """Scores by the key of their pair, in Redis; thread-safe, and safe to fork.

    Each is a value of at most 57 bytes that expires after `url.ttl` seconds. Values of others
    at such keys, and damaged ones, count as absent. Nothing is connected before the first use,
    which waits for a connection at most twice `url.timeout_ms`. After a failure nothing waits:
    a thread looks for Redis, at most every five seconds, and meanwhile scores count as absent.
    Names of hosts are resolved by the system, which has time-outs of its own.

    Raises MissingExtraError without the package `redis`.
    """

    def __init__(self, url: RedisURL, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self._clock = clock
        self._client = connect(url)
        self._lock = threading.Lock()
        self._reset()

    def get(self, keys: Sequence[bytes]) -> tuple[dict[bytes, CachedScore], str | None]:
        """Return the scores that are stored, and what went wrong, if anything did."""
        scores: dict[bytes, CachedScore] = {}
        damaged = 0
        # One byte more than a score has, and not all of what others may have put there.
        commands = [("GETRANGE", _PREFIX + key, 0, MAX_PACKED) for key in keys]
        values, problem = self._exchange(commands)
        refused = [value for value in values if isinstance(value, Exception)]
        for key, packed in zip(keys, values, strict=False):
            if packed == b"" or isinstance(packed, Exception):
                continue
            try:
                scores[key] = unpack(key, packed)
            except (ValueError, TypeError, IndexError):
                damaged += 1
        if problem is None and refused:
            problem = f"Redis did not return {len(refused)} scores: {_describe(refused[0])}"
        if problem is None and damaged:
            problem = f"the score cache in Redis has {damaged} damaged scores"
        return scores, problem

    def put(self, scores: Mapping[bytes, CachedScore]) -> str | None:
        """Store scores for the time that the URL says; return what went wrong, if any did."""
        ttl = self.url.ttl
        commands = [
            ("SET", _PREFIX + key, pack(key, score), "EX", ttl) for key, score in scores.items()
        ]
        results, problem = self._exchange(commands)
        refused = [result for result in results if isinstance(result, Exception)]
        if problem is None and refused:
            problem = f"Redis did not store {len(refused)} scores: {_describe(refused[0])}"
        return problem

    def size(self) -> tuple[int, int]:
        """Return 0, 0: Redis does not count the keys and bytes of one of its users."""
        return 0, 0

    def close(self) -> None:
        """Close the connections; they are opened again when they are needed."""
        if self._looking is not None:
            self._looking.join()
        self._client.close()

    def _exchange(self, commands: Sequence[tuple[object, ...]]) -> tuple[list[Any], str | None]:
        """Send commands and return their results, or none and what went wrong.

        What Redis refuses of one command, such as a key of another type, is its result.
        """
        from redis.exceptions import RedisError

        if not commands:
            return [], None
        problem = self._unreachable()
        if problem is not None:
            return [], problem
        results: list[Any] = []
        end = self._clock() + self.url.timeout_ms / 1000
        try:
            for start in range(0, len(commands), _KEYS_AT_ONCE):
                if start and self._clock() > end:
                    raise TimeoutError
                with self._client.pipeline(transaction=False) as pipeline:
                    for command in commands[start : start + _KEYS_AT_ONCE]:
                        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
                    results += pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            return [], self._fail(error)
        return results, None

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._reached = False
        self._problem: str | None = None
        self._look_after = -float("inf")
        self._looking: threading.Thread | None = None

    def _unreachable(self) -> str | None:
        """Return None if Redis can be asked, or else why not; see the class."""
        with self._lock:
            if self._pid != os.getpid():
                # The thread that looks for Redis stayed in the parent process.
                self._reset()
            if self._reached:
                return None
            first, looking = self._problem is None, self._looking
            if looking is None and self._clock() >= self._look_after:
                looking = threading.Thread(target=self._look, name="secondpass-redis")
                looking.daemon = True
                self._looking = looking
                looking.start()
        if first and looking is not None:
            looking.join(2 * self.url.timeout_ms / 1000)
        with self._lock:
            if self._reached:
                return None
            return _unusable(
                "it did not answer yet" if self._problem is None else self._problem
            )

    def _look(self) -> None:
        """Connect, and tell the searches whether Redis answers."""
        from redis.exceptions import RedisError

        try:
            self._client.ping()
        except (RedisError, OSError) as error:
            self._fail(error)
            return
        with self._lock:
            self._reached, self._problem, self._looking = True, None, None

    def _fail(self, error: Exception) -> str:
        problem = _describe(error)
        with self._lock:
            self._reached, self._problem = False, problem
            self._look_after = self._clock() + _PAUSE
            if self._looking is threading.current_thread():
                self._looking = None
        return _unusable(problem)


def connect(url: RedisURL) -> Redis:
    """Return a client that never tries again by itself; it connects at its first command.

    Raises MissingExtraError without the package `redis`.
    """
    try:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise MissingExtraError(
            "A score cache in Redis", package="redis", extra="redis"
        ) from error
    seconds = url.timeout_ms / 1000
    return Redis(
        host=url.host,
        port=url.port,
        db=url.db,
        username=url.user,
        password=url.password,
        ssl=url.tls,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        # Fewer exchanges before the first command, each of which may take the whole time.
        protocol=2,
    )


def check_redis(url: RedisURL) -> dict[str, Any]:
    """Return whether a Redis can be used as a cache, and what would be better, for doctor.

    The keys are `ok`, `url`, `problem` (None for none), `version`, `milliseconds` of a round
    trip, and `advice`, a text or None.
    """
    from redis.exceptions import RedisError

    report: dict[str, Any] = {"ok": False, "url": str(url), "problem": None}
    client = connect(url)
    try:
        client.ping()
        started = time.perf_counter()
        client.ping()
        milliseconds = 1000 * (time.perf_counter() - started)
        info: Any = client.info()
    except (RedisError, OSError) as error:
        return {**report, "problem": _describe(error)}
    finally:
        client.close()
    limited, policy = int(info.get("maxmemory", 0)) > 0, str(info.get("maxmemory_policy", ""))
    advice = None
    if not limited:
        advice = "it has no maxmemory: set one, with maxmemory-policy allkeys-lru"
    elif policy == "noeviction":
        advice = "a full one refuses new scores: set maxmemory-policy allkeys-lru"
    return {
        **report,
        "ok": True,
        "version": str(info.get("redis_version")),
        "milliseconds": round(milliseconds, 3),
        "advice": advice,
    }


def _unusable(problem: str) -> str:
    return f"the score cache in Redis could not be used: {problem}"


def _describe(error: Exception) -> str:
    """Return what failed, without names of hosts and users, which clients should not see."""
    from redis import exceptions

    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError):
        return "it refused the user or the password"
    if isinstance(error, exceptions.BusyLoadingError):
        return "it is loading its data"
    if isinstance(error, exceptions.OutOfMemoryError):
        return "it is full"
    if isinstance(error, exceptions.ReadOnlyError):
        return "it is a read-only replica"
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "it did not answer in time"
    if isinstance(error, exceptions.ConnectionError | OSError):
        return "it cannot be reached"
    return f"it answered {str(error).split(' ')[0]}"


def _bad_url(why: str) -> InputError:
    return InputError(
        "The URL of the score cache is not valid",
        why=why,
        fix="Write redis://HOST:PORT/DB, with the password in REDIS_PASSWORD, or with its "
        "special characters as %2F and the like.",
    )


def _secret(given: str | None, variable: str) -> str | None:
    # An empty one is none: "redis://:password@host" has no user.
    return unquote(given or "") or os.environ.get(variable) or None


def _positive(given: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(given.get(name, default))
    except ValueError:
        value = -1.0
    if not 1 <= value < 2**31:
        raise _bad_url(f"{name} must be a number from 1 up")
    return value
