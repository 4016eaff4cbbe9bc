"""One call as several requests: split, sent side by side, put together again.

Long lists of documents, cut into requests that a provider admits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from secondpass.errors import ProviderError, ProviderTimeoutError
from secondpass.remote.client import shown
from secondpass.rerank.hosted.provider import (
    Call,
    Limits,
    Parsed,
    Payload,
    Provider,
    message_of,
)
from secondpass.rerank.hosted.transport import Transport


def size(document: Payload) -> int:
    """Return the bytes of a document's texts in UTF-8."""
    texts = [document] if isinstance(document, str) else list(document.values())
    return sum(len(t.encode()) for t in texts)


def estimate(size_in_bytes: int) -> int:
    """Return about how many tokens a text of so many bytes has, rather too many.

    Of the tokenizers in use few make a token of less than three bytes on average: about
    four letters of English, one character of Chinese.
    """
    return size_in_bytes // 3 + 2


def split(query: str, documents: Sequence[Payload], limits: Limits) -> list[range]:
    """Return the positions that go together, in order: each in exactly one range.

    Parts hold about equally many documents, so that they take about equally long. A
    document that exceeds a limit by itself goes alone: whether it is too long is for the
    server to say.
    """
    fewest = -(-len(documents) // limits.documents)
    most = -(-len(documents) // fewest) if fewest else 0
    question = estimate(size(query))
    parts: list[range] = []
    start = held_bytes = held_tokens = 0
    for position, document in enumerate(documents):
        its_bytes = size(document)
        tokens = estimate(its_bytes)
        if limits.each is not None:
            tokens = min(tokens, limits.each)
        tokens += question
        full = (
            position - start >= most
            or (limits.bytes is not None and held_bytes + its_bytes > limits.bytes)
            or (limits.tokens is not None and held_tokens + tokens > limits.tokens)
        )
        if full and position > start:
            parts.append(range(start, position))
            start, held_bytes, held_tokens = position, 0, 0
        held_bytes += its_bytes
        held_tokens += tokens
    if start < len(documents):
        parts.append(range(start, len(documents)))
    return parts


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """The scores of all documents, None where a request failed, and what was counted.

    `tokens` and `units` are None unless every answer said them. `problem` is why scores
    are missing, `limits` what the server admits.
    """

    scores: Sequence[float | None]
    limits: Limits
    requests: int
    tokens: int | None
    units: float | None
    problem: ProviderError | None = None


async def ask(
    call: Call,
    provider: Provider,
    transport: Transport,
    *,
    limits: Limits | None,
    batch: int | None,
    timeout: float,
    partial: bool,
) -> ProviderAnswer:
    """Return the scores of all documents of a call, which may be many.

    `limits` is what the server admits, None to ask it. Raises `ProviderError` if a request
    failed, unless `partial` and another did not; `ProviderTimeoutError` if that is because
    `timeout` seconds are over.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    late = ProviderTimeoutError(
        f"{transport.title} took too long",
        where=shown(transport.base_url),
        why=f"the call was given {timeout:g} s",
    )
    if limits is None:
        try:
            async with asyncio.timeout_at(deadline):
                limits = await provider.ask_limits(
                    call.model, lambda request: transport.send(request, deadline)
                )
        except TimeoutError as error:
            raise (error if isinstance(error, ProviderError) else late) from None
    most = limits.documents if batch is None else min(batch, limits.documents)
    parts = split(call.query, call.documents, replace(limits, documents=most))
    tasks = [
        asyncio.create_task(_part(call, part, provider, transport, deadline)) for part in parts
    ]
    try:
        await asyncio.wait(
            tasks,
            timeout=deadline - asyncio.get_running_loop().time(),
            return_when=asyncio.ALL_COMPLETED if partial else asyncio.FIRST_EXCEPTION,
        )
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    problem = _problem(results, late)
    if problem is not None and not (partial and any(isinstance(r, Parsed) for r in results)):
        raise problem
    return _together(len(call.documents), parts, results, limits, problem)


async def _part(
    call: Call, part: range, provider: Provider, transport: Transport, deadline: float
) -> Parsed:
    its = replace(call, documents=[call.documents[i] for i in part])
    request = provider.request(its)
    reply = await transport.send(request, deadline)
    try:
        return provider.parse(reply, its)
    except ValueError as error:
        why = transport.key.redact(str(error))
        said = message_of(reply.body)
        if said:
            why += f"; it says “{transport.key.redact(said)[:300]}”"
        raise transport.error(request, "gave no usable answer", why, status=200) from None


def _problem(
    results: Sequence[Parsed | BaseException], late: ProviderError
) -> ProviderError | None:
    """Return why requests failed: the first refusal, else that time ran out, else None."""
    failed = [r for r in results if isinstance(r, BaseException)]
    refused = [r for r in failed if not isinstance(r, asyncio.CancelledError)]
    for error in refused:
        if not isinstance(error, ProviderError):
            raise error
        return error
    return late if failed else None


def _together(
    count: int,
    parts: Sequence[range],
    results: Sequence[Parsed | BaseException],
    limits: Limits,
    problem: ProviderError | None,
) -> ProviderAnswer:
    scores: list[float | None] = [None] * count
    answered: list[Parsed] = []
    for part, result in zip(parts, results, strict=True):
        if isinstance(result, Parsed):
            answered.append(result)
            scores[part.start : part.stop] = result.scores
    tokens = [a.tokens for a in answered if a.tokens is not None]
    units = [a.units for a in answered if a.units is not None]
    return ProviderAnswer(
        scores,
        limits,
        requests=len(answered),
        tokens=sum(tokens) if len(tokens) == len(answered) else None,
        units=sum(units) if len(units) == len(answered) else None,
        problem=problem,
    )
