"""gRPC beside HTTP: each call is carried to the application as a request.

So keys, limits, the queue, logs, counts and traces are those of all other requests. Only calls
of one message each way are carried; TLS is for the proxy in front, as with HTTP.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from secondpass.errors import InputError, MissingExtraError

try:
    import google.protobuf  # noqa: F401 - for the messages of the routes
    import grpc
    import grpc.aio
except ImportError as error:
    raise MissingExtraError("gRPC", package="grpcio", extra="grpc") from error

from starlette.routing import Route
from starlette.types import ASGIApp, Message

from secondpass.inference.unicode import clean
from secondpass.server.state import ServerState

_HEALTH = "grpc.health.v1.Health"
# A HealthCheckResponse, which has one field.
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    421: grpc.StatusCode.PERMISSION_DENIED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""What the status of an answer is in gRPC; all others are internal errors."""
# More than a key and a trace need; longer metadata is refused by the library.
_METADATA = 65_536
# Calls, those that only wait for their message among them, and of one connection.
_MOST_CALLS, _MOST_STREAMS = 1000, 100
# Clients take some 8 KB of metadata, and a message may quote what they sent.
_LONGEST = 1000
_TOLD = ("retry-after", "x-request-id")
_log = logging.getLogger("secondpass.server")


class GrpcBridge:
    """Listens for calls and carries them to these routes, whose paths are "/Service/Method"."""

    def __init__(self, state: ServerState, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self.port = 0
        self._state = state
        self._server: Any = None
        # Those whose client has gone come to their end alone.
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self, app: ASGIApp) -> None:
        """Listen where the settings say; `port` then is the port, also if any would do.

        Raises InputError for one that cannot be had.
        """
        settings = self._state.settings
        options = [
            # Else a second server on the same port would take half of the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", settings.max_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", _METADATA),
            ("grpc.max_concurrent_streams", _MOST_STREAMS),
            ("grpc.max_connection_idle_ms", settings.keep_alive * 1000),
        ]
        self._server = grpc.aio.server(
            handlers=self._handlers(app),
            options=options,
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            self.port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError as error:
            raise InputError(
                f"The server could not listen for gRPC at {host}:{settings.grpc_port}",
                fix="Try another --grpc-port.",
            ) from error
        await self._server.start()

    async def stop(self) -> None:
        """Take no more calls, and finish those under way within `drain`; again does nothing."""
        if self._server is not None:
            await self._server.stop(self._state.settings.drain)

    def _handlers(self, app: ASGIApp) -> list[Any]:
        # As streams, so that the key is asked for before the message has arrived.
        services: dict[str, dict[str, Any]] = {
            _HEALTH: {"Check": grpc.unary_unary_rpc_method_handler(self._health)}
        }
        for route in self.routes:
            _, state, method = route.path.split("/")
            call = partial(self._carried, app, route.path)
            handler = grpc.stream_unary_rpc_method_handler(call)
            services.setdefault(state, {})[method] = handler
        return [grpc.method_handlers_generic_handler(*one) for one in services.items()]

    async def _health(self, content: bytes, context: Any) -> bytes:
        return _SERVING if self._state.ready else _NOT_SERVING

    async def _carried(self, app: ASGIApp, path: str, messages: Any, context: Any) -> bytes:
        request = _Request(path, messages, context)
        work = asyncio.create_task(request.answered(app))
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)
        try:
            # The client's going must be told to the application, which else would work on.
            await asyncio.shield(work)
        except asyncio.CancelledError:
            request.gone.set()
            raise
        except Exception:  # noqa: BLE001 - what it says is for the logs, not for the client
            _log.exception("the call failed")
        told = tuple((name, request.told[name]) for name in _TOLD if name in request.told)
        if request.status == 200:
            context.set_trailing_metadata(told)
            return bytes(request.content)
        code = _CODES.get(request.status, grpc.StatusCode.INTERNAL)
        await context.abort(code, request.message, told)
        raise AssertionError("abort raises")


class _Request:
    """One call as the application sees it, and what it answers."""

    def __init__(self, path: str, messages: Any, context: Any) -> None:
        self.gone = asyncio.Event()
        self.status, self.content = 0, bytearray()
        self.told: Mapping[str, str] = {}
        self._messages, self._read = messages, False
        self._scope = _scope(path, context)

    @property
    def message(self) -> str:
        """What the answer says of why there is none."""
        try:
            found = json.loads(self.content)
            return clean(str(found["message"]))[:_LONGEST]
        except (ValueError, KeyError, TypeError):
            return "something went wrong"

    async def answered(self, app: ASGIApp) -> None:
        """Let the application answer."""
        await app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._read:
            content = await anext(aiter(self._messages), b"")
            self._read = True
            return {"type": "http.request", "body": content, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.told = {
                n.decode("latin-1"): v.decode("latin-1") for n, v in message["headers"]
            }
        else:
            self.content += message.get("body", b"")


def _scope(path: str, context: Any) -> dict[str, Any]:
    headers = [
        (name.encode(), value.encode(errors="replace"))
        for name, value in context.invocation_metadata()
        if isinstance(value, str)
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": None,
        "server": None,
    }
