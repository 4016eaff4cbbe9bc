"""A reranker behind a provider's HTTP interface."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from secondpass.errors import InputError, ModelNotFoundError
from secondpass.inference.unicode import clean
from secondpass.options import RerankOptions
from secondpass.remote.client import run
from secondpass.remote.endpoint import find_base_url, find_key, redact_url
from secondpass.remote.retry import RetryPolicy
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.hosted.fan_out import MergedScores, score_all
from secondpass.rerank.hosted.provider import (
    Batch,
    Limits,
    Payload,
    Provider,
    prepare_documents,
)
from secondpass.rerank.hosted.provider_client import ProviderClient
from secondpass.rerank.hosted.registry import load_prices, load_provider, split_name
from secondpass.rerank.inputs import check_count, check_number
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.worker_threads import run_in_thread
from secondpass.types import Candidate, RerankResponse, ScoreKind, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from secondpass.rerank.inputs import DocumentLike


class HostedReranker(BaseReranker):
    """A reranker behind a provider's HTTP interface, by the name of its model.

    - `model`: "cohere/rerank-v3.5", "tei", …; without the prefix if `provider` is given.
    - `api_key`, `base_url`: by default from the environment variables of the provider.
    - `timeout`: seconds for a whole call, retries included, above 0; `attempt_timeout`: seconds
      for one request, by default half of it.
    - `retries`: how often a request is sent again after 408, 409, 425, 429, 5xx or a broken
      connection; or a `RetryPolicy`.
    - `concurrency`: the limit of requests at a time, over all calls; `batch`: the limit of
      documents in a request, if lower than the provider's.
    - `partial`: whether scores for some of the documents are returned, with status
      "partially_reranked", when a request for others failed; else that raises.
    - `prices`: a TOML file whose prices come before the built-in table.
    - `headers`: sent with every request, for proxies.

    `passages` has no effect: the provider decides how it reads a long document. What it
    certainly does not read is not sent, and reported as unread.

    Several threads and event loops may use one object at once. It pools connections, so reuse
    it. Raises `InputError` for missing or invalid arguments.
    """

    runs_here = False

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
        provider, model = _resolve(model, provider)
        if provider.model_required and not model:
            raise InputError(
                f"{provider.title} needs the name of a model",
                fix=f'Write it as "{provider.name}/MODEL".',
            )
        self.provider = provider
        self._model = model
        self.timeout = _check_seconds("timeout", timeout)
        self.partial = partial
        self._batch = check_count("batch", batch)
        check_count("concurrency", concurrency)
        key = find_key(provider.title, api_key, provider.key_variables, provider.key_required)
        self.base_url = find_base_url(
            provider.title, base_url, provider.base_url_variables, provider.base_url
        )
        if attempt_timeout is None:
            attempt_timeout = self.timeout / 2
        self._client = ProviderClient(
            provider.title,
            self.base_url,
            key,
            headers=dict(headers or {}),
            retries=retries if isinstance(retries, RetryPolicy) else RetryPolicy(retries),
            attempt_timeout=_check_seconds("attempt_timeout", attempt_timeout),
            concurrency=concurrency,
            sign=provider.sign(key),
        )
        self._price = load_prices(prices).get(self.model)
        self._limits: Limits | None = None

    @property
    def model(self) -> str:
        """The name of the model, with the provider's prefix."""
        return f"{self.provider.name}/{self._model}" if self._model else self.provider.name

    @property
    def follows_instructions(self) -> bool:  # type: ignore[override]
        """Whether the provider's model can be told what to prefer."""
        return self.provider.follows_instructions(self._model)

    def __repr__(self) -> str:
        return f"HostedReranker({self.model!r}, base_url={redact_url(self.base_url)!r})"

    async def arerank(
        self, query: str, documents: Iterable[DocumentLike], **options: Unpack[RerankOptions]
    ) -> RerankResponse:
        """Do as `rerank`, in a thread of a pool for network waits."""
        return await run_in_thread(lambda: self.rerank(query, documents, **options))

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Ask the provider for a score of each distinct text."""
        self.provider.check_max_length(options.max_length)
        limits = self.provider.limits(self._model)
        prepared = prepare_documents(candidates, options, self.provider, limits.characters)
        # Copies of one text are sent once: they tie to the last bit, and are paid once.
        keys = [_payload_key(d) for d in prepared.documents]
        first_position: dict[object, int] = {}
        for position, key in enumerate(keys):
            first_position.setdefault(key, position)
        distinct = [prepared.documents[i] for i in first_position.values()]
        batch = Batch(
            self._model,
            clean(self.cut_query(query, options.max_query_tokens).text),
            distinct,
            prepared.fields,
            options.max_length,
            options.max_tokens_per_doc,
            options.instructions if self.follows_instructions else None,
        )
        merged = run(self._score_all(batch))
        values = dict(zip(first_position, merged.scores, strict=True))
        kind = self.provider.score_kind(self._model)
        lowest = min(s for s in merged.scores if s is not None)
        scores = [
            _score(values[key], unread, kind, lowest)
            for key, unread in zip(keys, prepared.unread, strict=True)
        ]
        return self._scored(scores, kind, merged)

    async def _score_all(self, batch: Batch) -> MergedScores:
        merged = await score_all(
            batch,
            self.provider,
            self._client,
            limits=self._limits,
            max_documents=self._batch,
            timeout=self.timeout,
            partial=self.partial,
        )
        self._limits = merged.limits
        return merged

    def _scored(self, scores: Sequence[Score], kind: ScoreKind, merged: MergedScores) -> Scored:
        cost = None
        if self._price is not None:
            cost = self._price.cost(searches=merged.searches, tokens=merged.tokens)
        missing = sum(not s.scored for s in scores)
        reason = None
        if missing:
            reason = f"{missing} of {len(scores)} documents have no score: {merged.error}"
        return Scored(
            scores,
            kind,
            pairs=sum(s is not None for s in merged.scores),
            tokens=merged.tokens or 0,
            status=Status.PARTIALLY_RERANKED if missing else Status.RERANKED,
            reason=reason,
            requests=merged.requests,
            searches=merged.searches or 0.0,
            cost=cost,
        )


def _resolve(model: str, provider: Provider | None) -> tuple[Provider, str]:
    if provider is not None:
        return provider, model
    split = split_name(model) if isinstance(model, str) else None
    if split is None:
        raise ModelNotFoundError(
            f"There is no provider for {model!r}",
            fix='Write it as "PROVIDER/MODEL", as in "cohere/rerank-v3.5".',
        )
    return load_provider(split[0]), split[1]


def _check_seconds(name: str, value: object) -> float:
    seconds = check_number(name, value)
    if seconds is None or not 0 < seconds < math.inf:
        raise InputError(f"{name} must be a number of seconds above 0, not {value!r}")
    return seconds


def _payload_key(document: Payload) -> object:
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
