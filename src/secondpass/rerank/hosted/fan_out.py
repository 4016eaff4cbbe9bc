"""One call as several requests: split, sent side by side, put together again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from secondpass.errors import ProviderError, ProviderTimeoutError
from secondpass.remote.address import shown
from secondpass.rerank.hosted.parsing import message_of
from secondpass.rerank.hosted.provider import Call, Limits, Parsed, Provider
from secondpass.rerank.hosted.splitting import split
from secondpass.rerank.hosted.transport import Transport


@dataclass(frozen=True, slots=True)
class Answer:
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
) -> Answer:
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
) -> Answer:
    scores: list[float | None] = [None] * count
    answered: list[Parsed] = []
    for part, result in zip(parts, results, strict=True):
        if isinstance(result, Parsed):
            answered.append(result)
            scores[part.start : part.stop] = result.scores
    tokens = [a.tokens for a in answered if a.tokens is not None]
    units = [a.units for a in answered if a.units is not None]
    return Answer(
        scores,
        limits,
        requests=len(answered),
        tokens=sum(tokens) if len(tokens) == len(answered) else None,
        units=sum(units) if len(units) == len(answered) else None,
        problem=problem,
    )
