"""A reranker that asks a provider.

One event loop in a thread of its own, in which all requests to providers run.

So calls from any thread, and from any other event loop, share connections, limits and
deadlines, and there is one way to send a request and not two.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from secondpass.errors import InputError, ModelNotFoundError
from secondpass.inference.tokenizer import clean
from secondpass.options import RerankOptions
from secondpass.remote.client import find_base_url, find_key, shown
from secondpass.remote.retry import RetryPolicy
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.hosted.fan_out import ProviderAnswer, ask
from secondpass.rerank.hosted.provider import Call, Limits, Payload, Provider, prepare
from secondpass.rerank.hosted.registry import load_prices, load_provider, split_name
from secondpass.rerank.hosted.transport import Transport
from secondpass.rerank.inputs import check_count, check_number
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.worker_threads import in_waiting_thread
from secondpass.types import Candidate, RerankResponse, ScoreKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from secondpass.rerank.inputs import DocumentLike


T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def background() -> asyncio.AbstractEventLoop:
    """Return the running loop, starting its thread at the first call."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            thread = threading.Thread(
                target=_loop.run_forever, name="secondpass-requests", daemon=True
            )
            thread.start()
            atexit.register(_stop, _loop, thread)
        return _loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the background loop and wait for it.

    An exception that ends the waiting (Ctrl-C) ends the work too.
    """
    future = asyncio.run_coroutine_threadsafe(work, background())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if loop.is_running():
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=1)


def _forget() -> None:
    """In a forked child the thread is gone: the next call starts another."""
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class HostedReranker(BaseReranker):
    """A reranker behind an HTTP interface, by the name of its model.

    - `model`: "cohere/rerank-v3.5", "tei", …; without the prefix if `provider` is given.
    - `api_key`, `base_url`: from the environment (see the page of the provider) if not
      given.
    - `timeout`: seconds for a whole call, its repetitions included, above 0;
      `attempt_timeout`: seconds for one request, by default half of it.
    - `retries`: how often a request is sent again after 408, 409, 425, 429, 5xx or a broken
      connection; or a `RetryPolicy`.
    - `concurrency`: requests under way at most, over all calls; `batch`: documents in one
      request at most, if fewer than the provider admits.
    - `partial`: whether an answer for some of the documents is returned, with status
      "partially_reranked", when a request for others failed; else that raises.
    - `prices`: a TOML file that comes before the table of prices.
    - `headers`: sent with every request, for proxies.

    `passages` has no effect: how a long document is read is the provider's affair. What is
    certainly not read is not sent, and reported as unread.

    One object may be used by several threads and event loops at once, and keeps its
    connections: keep the object. Raises `InputError` for what is missing or makes no sense.
    """

    def __init__(
        self,
        model: str,
        *,
        provider: Provider | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float = 30.0,
        attempt_timeout: float | None = None,
        retries: int | RetryPolicy = 2,
        concurrency: int = 4,
        batch: int | None = None,
        partial: bool = False,
        prices: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        provider, model = _named(model, provider)
        if provider.model_needed and not model:
            raise InputError(
                f"{provider.title} needs the name of a model",
                fix=f'Write it as "{provider.name}/MODEL".',
            )
        self.provider = provider
        self._model = model
        self.timeout = _seconds("timeout", timeout)
        self.partial = partial
        self._batch = check_count("batch", batch)
        check_count("concurrency", concurrency)
        key = find_key(provider.title, api_key, provider.key_variables, provider.key_needed)
        self.base_url = find_base_url(
            provider.title, base_url, provider.base_url_variables, provider.base_url
        )
        half = self.timeout / 2 if attempt_timeout is None else attempt_timeout
        self._transport = Transport(
            provider.title,
            self.base_url,
            key,
            headers=dict(headers or {}),
            retrying=retries if isinstance(retries, RetryPolicy) else RetryPolicy(retries),
            attempt_timeout=_seconds("attempt_timeout", half),
            concurrency=concurrency,
        )
        self._price = load_prices(prices).get(self.model)
        self._limits: Limits | None = None

    @property
    def model(self) -> str:
        """The name of the model, with the provider's prefix."""
        return f"{self.provider.name}/{self._model}" if self._model else self.provider.name

    def __repr__(self) -> str:
        return f"Hosted({self.model!r}, base_url={shown(self.base_url)!r})"

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], **options: Unpack[RerankOptions]
    ) -> RerankResponse:
        """Do as `rerank`, in one of many threads that only wait."""
        return await in_waiting_thread(lambda: self.rerank(query, documents, **options))

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Ask the provider for a score of each different text."""
        self.provider.check_length(reading.max_length)
        limits = self.provider.limits(self._model)
        prepared = prepare(candidates, reading, self.provider, limits.characters)
        # Copies of one text are sent once: they tie to the last bit, and are paid once.
        keys = [_key(d) for d in prepared.documents]
        first: dict[object, int] = {}
        for position, key in enumerate(keys):
            first.setdefault(key, position)
        distinct = [prepared.documents[i] for i in first.values()]
        call = Call(self._model, clean(query), distinct, prepared.fields, reading.max_length)
        answer = run(self._ask(call))
        found = dict(zip(first, answer.scores, strict=True))
        kind = self.provider.kind(self._model)
        lowest = min(s for s in answer.scores if s is not None)
        scores = [
            _score(found[key], unread, kind, lowest)
            for key, unread in zip(keys, prepared.unread, strict=True)
        ]
        return self._scored(scores, kind, answer, sum(s is not None for s in answer.scores))

    async def _ask(self, call: Call) -> ProviderAnswer:
        answer = await ask(
            call,
            self.provider,
            self._transport,
            limits=self._limits,
            batch=self._batch,
            timeout=self.timeout,
            partial=self.partial,
        )
        self._limits = answer.limits
        return answer

    def _scored(
        self, scores: Sequence[Score], kind: ScoreKind, answer: ProviderAnswer, pairs: int
    ) -> Scored:
        cost = None
        if self._price is not None:
            cost = self._price.cost(searches=answer.units, tokens=answer.tokens)
        missing = sum(not s.scored for s in scores)
        reason = None
        if missing:
            reason = f"{missing} of {len(scores)} documents have no score: {answer.problem}"
        return Scored(
            scores,
            kind,
            pairs=pairs,
            tokens=answer.tokens or 0,
            status=Status.PARTIALLY_RERANKED if missing else Status.RERANKED,
            reason=reason,
            requests=answer.requests,
            searches=answer.units or 0.0,
            cost=cost,
        )


def _named(model: str, provider: Provider | None) -> tuple[Provider, str]:
    if provider is not None:
        return provider, model
    split = split_name(model) if isinstance(model, str) else None
    if split is None:
        raise ModelNotFoundError(
            f"There is no provider for {model!r}",
            fix='Write it as "PROVIDER/MODEL", as in "cohere/rerank-v3.5".',
        )
    return load_provider(split[0]), split[1]


def _seconds(name: str, value: object) -> float:
    seconds = check_number(name, value)
    if seconds is None or not 0 < seconds < math.inf:
        raise InputError(f"{name} must be a number of seconds above 0, not {value!r}")
    return seconds


def _key(document: Payload) -> object:
    return document if isinstance(document, str) else tuple(document.items())


def _score(value: float | None, unread: int, kind: ScoreKind, lowest: float) -> Score:
    if value is None:
        return Score(lowest, windows=0, scored=False)
    probability = None
    if kind is ScoreKind.PROBABILITY:
        probability = value
    elif kind is ScoreKind.LOGIT:
        # Written so that neither end overflows.
        probability = math.exp(min(value, 0)) / (1 + math.exp(-abs(value)))
    return Score(value, probability, unread=unread)
