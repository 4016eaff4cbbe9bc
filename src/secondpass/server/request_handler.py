"""Request handling: one declared operation a path, one pipeline for every dialect.

A dialect declares each path as an `Operation` and lets the handler serve it:

    SEARCH = Operation(
        dialect="example",          # for logs, metrics and traces
        fail=error_body,            # (HttpError, request id) -> JSON in the dialect's shape
        scope="search",             # what the API key must allow; None: any key will do
        fields=FIELDS,              # `RequestFields`: what the body may have, and what it does
        parse=parse_search,         # (context, Body) -> query; on the event loop, not blocking
        documents=lambda query: query.top_k,    # counted against the limits
        run=run_search,             # (state, context, query) -> result; in a worker thread
        respond=write_results,      # (context, query, result) -> JSON content or a Response
    )
    Route("/example/search", handler.serve(SEARCH), methods=["POST"])

The steps, always in this order; no step calls the handler back:

1. authorize: key, scope and rate limit, unless the operation is `keyless`;
2. `check`: what else must hold before the body is read, such as that an endpoint exists;
   in a worker thread;
3. `read`: the body, within the limits of server and key;
4. `fields`: what is refused is an error, what has no effect is removed and reported in the
   header `X-Ignored-Fields`; `parse`, then the number of `documents` against the limits;
5. admission (429 where the queue is too long), then `run` in a worker thread within
   `timeout`; its queued work is cancelled when the client disconnects. Where `wants_stream`
   says so, `stream` in the place of `run`: its first frame decides the status;
6. `wait`, where something slow is awaited without holding a thread;
7. `respond`, and `finish` for headers that errors have too.

What any step raises is sent by `fail`: an `HttpError` as it is, other errors of the package by
their kind, anything else as 500.

A path that several dialects share is a `SharedPath`: the operation is chosen by the body and
the headers. Only there may a request without a key have its body read before it is refused,
only where one of the operations is keyless, and only up to a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from secondpass.errors import SecondpassError
from secondpass.server.access.api_keys import ANYBODY, KeyFile, key_in
from secondpass.server.access.rate_limit import RateLimits
from secondpass.server.http_errors import (
    HttpError,
    default_error,
    internal_error,
    to_http_error,
)
from secondpass.server.http_json import Body, BodyLimits, Reply, json_object
from secondpass.server.request_context import (
    Fail,
    Finish,
    RequestContext,
    current_record,
    record_error,
    unchanged,
)
from secondpass.server.request_fields import IGNORED_HEADER, RequestFields
from secondpass.server.state import ServerState
from secondpass.server.streaming import EventStream, stream_response

WARNINGS_HEADER = "x-warnings"
"""Header that says what of a request was ignored or not read."""
_MAX_WARNINGS = 2000
T = TypeVar("T")
Query = TypeVar("Query")
Result = TypeVar("Result")
Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


BodyReader = Callable[[Request, BodyLimits], Awaitable[Any]]


def _body_as_query(context: RequestContext, body: Any) -> Any:
    return body


def _result_as_content(context: RequestContext, query: Any, result: Any) -> Any:
    return result


def _never(query: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Query, Result]):
    """What one path of one dialect does; see the module for the order of the steps.

    - `scope`: one of `api_keys.SCOPES`; None for one that every key has. `keyless`: no key is
      needed.
    - `check`: blocks; raises HttpError. It may keep what it finds in `context.request.state`.
    - `identify`: reads what an error must name of the request, where a known key is refused;
      it must read little, and raise nothing.
    - `read`: None where no body is read, and `parse` gets None. `max_body`: bytes, where fewer
      are allowed than by the server.
    - `fields`: the declared fields of a body that is a JSON object; `parse` gets no others.
    - `parse`, `respond`, `finish`: on the event loop: they must not block.
    - `documents`: how many documents the query asks to score; None where it asks for none.
    - `run`: blocks. `run_async`: in its place, on the event loop, for what limits its own
      blocking work by `RequestHandler.run`, such as an application of another framework.
    - `statuses`: HTTP statuses by the kind of an `HttpError`, where the API has its own.
    - `timeout`: seconds for `run`; None for the server's.
    - `stream`: blocks, and so does the iterator that it returns; the server's timeout holds
      for the first frame.
    """

    dialect: str
    fail: Fail
    scope: str | None
    keyless: bool = False
    check: Callable[[ServerState, RequestContext], None] | None = None
    identify: Callable[[RequestContext], Awaitable[None]] | None = None
    read: BodyReader | None = json_object
    max_body: int | None = None
    fields: RequestFields | None = None
    parse: Callable[[RequestContext, Any], Query] = _body_as_query
    documents: Callable[[Query], int] | None = None
    run: Callable[[ServerState, RequestContext, Query], Result] | None = None
    run_async: Callable[[RequestContext, Query], Awaitable[Result]] | None = None
    timeout: float | None = None
    wants_stream: Callable[[Query], bool] = _never
    stream: Callable[[ServerState, RequestContext, Query], EventStream] | None = None
    wait: Callable[[RequestContext, Query, Result], Awaitable[Result]] | None = None
    respond: Callable[[RequestContext, Query, Result], Any] = _result_as_content
    finish: Finish = unchanged
    statuses: Mapping[str, int] = field(default_factory=dict, hash=False)


Choose = Callable[[Body, Mapping[str, str]], Sequence[Operation[Any, Any]]]
"""Returns the operations that a body and headers may mean, the likeliest first."""


@dataclass(frozen=True, slots=True)
class SharedPath:
    """A path of several dialects; all take a JSON object.

    - `choose`: its first operation answers; where that raises 404, the next one does. With a
      key in the headers it must not return a keyless one.
    - `scope`: what a key must allow; that of all operations.
    - `max_keyless_body`: how many bytes are read of a request without a key before it is
      refused, as one of the operations is keyless; None where none is, and nothing is read.
    - `dialect`, `fail`: the name and the error writer as long as the dialect is not known.
    - `operations`: all that `choose` may return, for the reference.
    """

    choose: Choose
    scope: str | None
    max_keyless_body: int | None = None
    dialect: str = "unknown"
    fail: Fail = default_error
    operations: Sequence[Operation[Any, Any]] = ()


class RequestHandler:
    """Serves operations of any dialect; `keys` is None where no key is needed."""

    def __init__(self, state: ServerState, keys: KeyFile | None) -> None:
        self.state, self.keys = state, keys
        self._rate_limits = RateLimits()

    def serve(self, operation: Operation[Any, Any]) -> Endpoint:
        """Build the endpoint of an operation."""

        async def handle(request: Request) -> Response:
            context = RequestContext(request)
            _set_operation(context, operation)
            return await self._respond(context, self._process(context, operation))

        return _name_operations(handle, [operation])

    def serve_shared(self, path: SharedPath) -> Endpoint:
        """Build the endpoint of a path that several dialects share."""

        async def handle(request: Request) -> Response:
            context = RequestContext(request, path.dialect, path.fail)
            return await self._respond(context, self._process_shared(context, path))

        return _name_operations(handle, path.operations)

    async def _process(self, context: RequestContext, operation: Operation[Any, Any]) -> Any:
        if not operation.keyless:
            try:
                self._authorize(context, operation.scope)
            except HttpError as error:
                if error.status != 401 and operation.identify is not None:
                    await operation.identify(context)
                raise
        await self._check(context, operation)
        body = None
        if operation.read is not None:
            limits = self._body_limits(context, operation.max_body)
            body = await operation.read(context.request, limits)
        return await self._process_body(context, operation, body)

    async def _process_shared(self, context: RequestContext, path: SharedPath) -> Any:
        limits, unauthorized = self._keyless_limits(context, path), True
        if limits is None:
            unauthorized = False
            self._authorize(context, path.scope)
            limits = self._body_limits(context, None)
        body = await json_object(context.request, limits)
        operations = path.choose(body, context.request.headers)
        for position, operation in enumerate(operations, start=1):
            _set_operation(context, operation)
            if unauthorized and not operation.keyless:
                self._authorize(context, path.scope)
                unauthorized = False
            try:
                await self._check(context, operation)
                return await self._process_body(context, operation, body)
            except HttpError as error:
                if error.status != 404 or position == len(operations):
                    raise
        raise HttpError(404, "not found", "no dialect has this request")

    async def _process_body(
        self, context: RequestContext, operation: Operation[Any, Any], body: Any
    ) -> Any:
        if operation.fields is not None:
            accepted = operation.fields.accept(body)
            body = accepted.body
            context.ignored, context.warnings = accepted.ignored, accepted.warnings
        query = operation.parse(context, body)
        if operation.documents is not None:
            self.count(context, operation.documents(query))
        if operation.stream is not None and operation.wants_stream(query):
            stream = partial(operation.stream, self.state, context, query)
            return await self.stream(context, stream)
        result = None
        if operation.run is not None:
            function = partial(operation.run, self.state, context, query)
            result = await self.run(context, function, timeout=operation.timeout)
        elif operation.run_async is not None:
            result = await operation.run_async(context, query)
        if operation.wait is not None:
            result = await operation.wait(context, query, result)
        return operation.respond(context, query, result)

    def _authorize(self, context: RequestContext, scope: str | None) -> None:
        """Set the caller of a request.

        Raises HttpError: 401 without a valid key, 403 where the key does not have the scope,
        429 beyond its rate limit.
        """
        caller = ANYBODY
        if self.keys is not None:
            caller = self.keys.find(key_in(context.request.headers))
        record = current_record()
        if record is not None:
            # Also of a caller who is refused below.
            record.caller = caller
        if scope is not None:
            caller.allow(scope)
        if caller.per_minute is not None:
            self._rate_limits.take(caller.id, caller.per_minute)
        context.caller = caller

    async def _check(self, context: RequestContext, operation: Operation[Any, Any]) -> None:
        if operation.check is not None:
            # Not by `run`: its watch for a disconnect would consume the messages of the body.
            ticket = self.state.ticket(tenant=context.tenant)
            self.state.admit(ticket)
            await self.state.run(ticket, partial(operation.check, self.state, context))

    def _body_limits(self, context: RequestContext, max_body: int | None) -> BodyLimits:
        limits = [(self.state.settings.max_body, "this server")]
        if context.caller.max_body is not None:
            limits.append((context.caller.max_body, "this key"))
        if max_body is not None:
            limits.append((max_body, "this call"))
        max_bytes, whose = min(limits)
        return BodyLimits(max_bytes, self.state.settings.max_depth, whose)

    def _keyless_limits(self, context: RequestContext, path: SharedPath) -> BodyLimits | None:
        """Return what is read of a request before its key is asked for; None for nothing."""
        has_key = key_in(context.request.headers) is not None
        if self.keys is None or has_key or path.max_keyless_body is None:
            return None
        settings = self.state.settings
        max_bytes = min(settings.max_body, path.max_keyless_body)
        return BodyLimits(max_bytes, settings.max_depth, "requests without a key")

    def count(self, context: RequestContext, documents: int) -> None:
        """Record how many documents a request has; raises HttpError (400) for too many."""
        context.documents = documents
        self.state.check_count(documents, context.caller.max_documents)

    async def run(
        self,
        context: RequestContext,
        function: Callable[[], T],
        *,
        timeout: float | None = None,
    ) -> T:
        """Run a blocking function in a worker thread, within one deadline.

        Its queued work is cancelled when the client disconnects. To be called once the body
        has been read. Raises HttpError, among others 429 where the queue is too long.
        """
        ticket = self.state.ticket(timeout, context.tenant)
        self.state.admit(ticket)
        work = asyncio.create_task(self.state.run(ticket, function))
        disconnect = asyncio.create_task(_wait_for_disconnect(context.request))
        try:
            await asyncio.wait({work, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                ticket.cancel()
            return await work
        finally:
            disconnect.cancel()

    async def stream(
        self, context: RequestContext, make_stream: Callable[[], EventStream]
    ) -> Response:
        """Run a blocking function, and send the events that it returns, each when it is made.

        Its first frame is taken before the status is sent, so that an early error has its own
        status.
        """

        def start() -> tuple[EventStream, str | None]:
            events = make_stream()
            return events, next(events.frames, None)

        events, first = await self.run(context, start)
        return stream_response(self.state, events, first, tenant=context.tenant)

    async def _respond(self, context: RequestContext, content: Awaitable[Any]) -> Response:
        """Return the response for what a coroutine returns or raises."""
        try:
            result = await content
            response = result if isinstance(result, Response) else Reply(result)
        except HttpError as error:
            response = _error_response(context, error)
        except SecondpassError as error:
            response = _error_response(context, to_http_error(error))
        except Exception as error:  # noqa: BLE001 - the client gets its dialect's error body
            response = _error_response(context, internal_error(error))
        if context.ignored:
            response.headers[IGNORED_HEADER] = ", ".join(context.ignored)
        if context.warnings:
            response.headers[WARNINGS_HEADER] = _header_value("; ".join(context.warnings))
        return context.finish(context, response)


def _name_operations(endpoint: Endpoint, operations: Sequence[Operation[Any, Any]]) -> Endpoint:
    # For the reference and its test, which go through the routes of the application.
    endpoint.operations = tuple(operations)  # type: ignore[attr-defined]
    return endpoint


def _header_value(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text[:_MAX_WARNINGS]).strip()


def _set_operation(context: RequestContext, operation: Operation[Any, Any]) -> None:
    context.dialect = operation.dialect
    context.fail, context.finish = operation.fail, operation.finish
    context.statuses = operation.statuses


def _error_response(context: RequestContext, error: HttpError) -> Response:
    record_error(error)
    status = context.statuses.get(error.kind, error.status)
    return Reply(context.fail(error, context.id), status, headers=error.headers)


async def _wait_for_disconnect(request: Request) -> None:
    with suppress(HttpError):  # 408 for a body that was never read and did not arrive in time.
        while (await request.receive())["type"] != "http.disconnect":
            pass
