"""One rerank call as several requests: split, sent concurrently, merged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from secondpass.errors import ProviderError, ProviderTimeoutError
from secondpass.remote.endpoint import redact_url
from secondpass.remote.retry import Deadline
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Payload,
    Provider,
    error_message,
)
from secondpass.rerank.hosted.provider_client import ProviderClient


def payload_bytes(document: Payload) -> int:
    """Return the bytes of a document's texts in UTF-8."""
    texts = [document] if isinstance(document, str) else list(document.values())
    return sum(len(t.encode()) for t in texts)


def estimate_tokens(size_in_bytes: int) -> int:
    """Return about how many tokens a text of so many bytes has, rather too many.

    Of the tokenizers in use few make a token of less than three bytes on average: about
    four letters of English, one character of Chinese.
    """
    return size_in_bytes // 3 + 2


def split(query: str, documents: Sequence[Payload], limits: Limits) -> list[range]:
    """Return the positions of each batch, in order: every document is in exactly one.

    Batches hold about equally many documents, so that they take about equally long. A document
    that exceeds a limit by itself goes alone: the server decides whether it is too long.
    """
    min_batches = -(-len(documents) // limits.documents)
    max_documents = -(-len(documents) // min_batches) if min_batches else 0
    query_tokens = estimate_tokens(payload_bytes(query))
    batches: list[range] = []
    start = batch_bytes = batch_tokens = 0
    for position, document in enumerate(documents):
        document_bytes = payload_bytes(document)
        tokens = estimate_tokens(document_bytes)
        if limits.tokens_per_document is not None:
            tokens = min(tokens, limits.tokens_per_document)
        tokens += query_tokens
        full = (
            position - start >= max_documents
            or (limits.bytes is not None and batch_bytes + document_bytes > limits.bytes)
            or (limits.tokens is not None and batch_tokens + tokens > limits.tokens)
        )
        if full and position > start:
            batches.append(range(start, position))
            start, batch_bytes, batch_tokens = position, 0, 0
        batch_bytes += document_bytes
        batch_tokens += tokens
    if start < len(documents):
        batches.append(range(start, len(documents)))
    return batches


@dataclass(frozen=True, slots=True)
class MergedScores:
    """The scores of all documents, None where a request failed, and what was counted.

    `tokens` and `searches` are None unless every response has them. `error` is why scores are
    missing; `limits` are those of the server.
    """

    scores: Sequence[float | None]
    limits: Limits
    requests: int
    tokens: int | None
    searches: float | None
    error: ProviderError | None = None


async def score_all(
    call: Batch,
    provider: Provider,
    client: ProviderClient,
    *,
    limits: Limits | None,
    max_documents: int | None,
    timeout: float,
    partial: bool,
) -> MergedScores:
    """Return the scores of all documents of a call, in as many requests as the limits demand.

    `limits` are those of the server, None to ask it for them. Raises `ProviderError` if a
    request failed, unless `partial` and another did not; `ProviderTimeoutError` if that is
    because `timeout` seconds are over.
    """
    deadline = Deadline(timeout)
    late = ProviderTimeoutError(
        f"{client.title} took too long",
        where=redact_url(client.base_url),
        why=f"the timeout of the call is {timeout:g} s",
    )
    if limits is None:
        try:
            async with asyncio.timeout(deadline.left):
                limits = await provider.fetch_limits(
                    call.model, lambda request: client.send(request, deadline)
                )
        except TimeoutError as error:
            raise (error if isinstance(error, ProviderError) else late) from None
    size = limits.documents if max_documents is None else min(max_documents, limits.documents)
    batches = split(call.query, call.documents, replace(limits, documents=size))
    tasks = [
        asyncio.create_task(_score_batch(call, positions, provider, client, deadline))
        for positions in batches
    ]
    try:
        await asyncio.wait(
            tasks,
            timeout=deadline.left,
            return_when=asyncio.ALL_COMPLETED if partial else asyncio.FIRST_EXCEPTION,
        )
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    failure = _first_error(results, late)
    if failure is not None and not (
        partial and any(isinstance(r, BatchScores) for r in results)
    ):
        raise failure
    return _merge(len(call.documents), batches, results, limits, failure)


async def _score_batch(
    call: Batch,
    positions: range,
    provider: Provider,
    client: ProviderClient,
    deadline: Deadline,
) -> BatchScores:
    batch = replace(call, documents=[call.documents[i] for i in positions])
    request = provider.build_request(batch)
    response = await client.send(request, deadline)
    try:
        return provider.parse_response(response, batch)
    except ValueError as error:
        reason = str(error)
        message = error_message(response.body)
        if message:
            reason += f"; its message is “{client.key.redact(message)[:300]}”"
        raise client.unusable_response(request, reason) from None


def _first_error(
    results: Sequence[BatchScores | BaseException], late: ProviderError
) -> ProviderError | None:
    """Return why requests failed: the first error, else that time ran out, else None."""
    failed = [r for r in results if isinstance(r, BaseException)]
    for error in failed:
        if isinstance(error, ProviderError):
            return error
        if not isinstance(error, asyncio.CancelledError):
            raise error
    return late if failed else None


def _merge(
    count: int,
    batches: Sequence[range],
    results: Sequence[BatchScores | BaseException],
    limits: Limits,
    error: ProviderError | None,
) -> MergedScores:
    scores: list[float | None] = [None] * count
    succeeded: list[BatchScores] = []
    for positions, result in zip(batches, results, strict=True):
        if isinstance(result, BatchScores):
            succeeded.append(result)
            scores[positions.start : positions.stop] = result.scores
    tokens = [r.tokens for r in succeeded if r.tokens is not None]
    searches = [r.searches for r in succeeded if r.searches is not None]
    return MergedScores(
        scores,
        limits,
        requests=len(succeeded),
        tokens=sum(tokens) if len(tokens) == len(succeeded) else None,
        searches=sum(searches) if len(searches) == len(succeeded) else None,
        error=error,
    )
