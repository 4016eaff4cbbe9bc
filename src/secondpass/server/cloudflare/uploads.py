"""The endpoints that put files into an instance, and wait until they can be found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal

from typing_extensions import TypedDict

from secondpass.server.cloudflare.call import Call
from secondpass.server.cloudflare.checking import Form
from secondpass.server.cloudflare.context import Hub
from secondpass.server.cloudflare.file_kinds import suffix_for
from secondpass.server.cloudflare.given_metadata import warnings
from secondpass.server.cloudflare.instance import Instance
from secondpass.server.cloudflare.item import SETTLED, Item
from secondpass.server.cloudflare.responses import missing, ok
from secondpass.server.cloudflare.upload import Upload, check_key, read_upload
from secondpass.server.exchange import Exchange
from secondpass.server.http_errors import invalid
from secondpass.server.request_handler import Answering, Work

LONGEST_WAIT = 40.0
"""Seconds that a client may wait for a file to be indexed."""
_Placed = tuple[Instance, Item, list[dict[str, str]]]


class _Sync(TypedDict, total=False):
    key: str
    next_action: Literal["INDEX"]
    wait_for_completion: bool


_SYNC = Form(_Sync)


def upload(answering: Answering, hub: Hub) -> Work:
    """Return what takes a file, in the place of one with the same key."""

    async def work(exchange: Exchange) -> Any:
        sent = await read_upload(exchange.request, answering.most_bytes(exchange))
        call = Call(hub, exchange)
        return await _placed(answering, call, sent.wait, lambda: _put(call, sent))

    return work


def sync(answering: Answering, hub: Hub, *, by_key: bool) -> Work:
    """Return what lets a file be indexed again: the one in the path, or the one of a key."""

    async def work(exchange: Exchange) -> Any:
        call = Call(hub, exchange, (await answering.body(exchange)).found)
        sent = _SYNC.read(call.body)
        if "next_action" not in sent:
            raise invalid("next_action is missing: it must be INDEX")
        wait = sent.get("wait_for_completion", False)
        key = sent.get("key") if by_key else None
        if by_key and key is None:
            raise invalid("key is missing")
        return await _placed(answering, call, wait, lambda: _queue(call, key))

    return work


def _put(call: Call, sent: Upload) -> _Placed:
    instance = call.instance
    suffix = suffix_for(sent.key, sent.content_type)
    item = instance.items.put(sent.key, sent.data, suffix, sent.content_type, sent.metadata)
    return instance, item, warnings(instance.fields, sent.metadata)


def _queue(call: Call, key: str | None) -> _Placed:
    instance = call.instance
    if key is None:
        known: Item | None = call.item(instance)
    else:
        known = instance.items.by_key(check_key(key))
    item = None if known is None else instance.items.queue(known.id)
    if item is None:
        raise missing(f"item {key!r}: files are put in by upload")
    return instance, item, []


async def _placed(
    answering: Answering, call: Call, wait: bool, place: Callable[[], _Placed]
) -> Any:
    """Put or queue a file, and wait for it where that was asked for."""
    watched: list[Future[None]] = []

    def placed() -> _Placed:
        instance, item, warned = place()
        instance.log.add(item, "queued")
        if wait:
            future = instance.watch(item.id)
            # It may be done already; from here on, who ends it tells.
            now = instance.items.get(item.id)
            if now is not None and now.status not in SETTLED:
                watched.append(future)
        call.hub.worker.wake(instance)
        return instance, item, warned

    timeout = answering.service.settings.write_timeout
    instance, item, warned = await answering.done(
        call.exchange, lambda: call.answered(lambda _: placed()), timeout=timeout
    )
    if watched:
        waiting = asyncio.wrap_future(watched[0])
        await asyncio.wait({waiting}, timeout=LONGEST_WAIT)
        waiting.cancel()
    if wait:
        item = await answering.done(
            call.exchange, lambda: call.answered(lambda _: instance.items.get(item.id))
        )
        if item is None:
            raise missing("item of this key any more")
    return ok(item.shown(instance.namespace) | ({"warnings": warned} if warned else {}))
