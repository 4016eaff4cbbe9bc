"""Bridge from gRPC to the ASGI application: each call becomes an HTTP request.

So keys, limits, the queue, logs, metrics and traces are those of all other requests. Only
unary calls are supported; TLS is left to a proxy in front, as with HTTP.
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
"""The gRPC status of an HTTP status; all others are internal errors."""
# More than a key and a trace need; longer metadata is refused by the library.
_MAX_METADATA_BYTES = 65_536
# At once: calls, including those that still wait for their message, and calls a connection.
_MAX_CALLS, _MAX_STREAMS = 1000, 100
# Clients accept some 8 KB of metadata, and a message may quote what they sent.
_MAX_MESSAGE = 1000
_METADATA_HEADERS = ("retry-after", "x-request-id")
_log = logging.getLogger("secondpass.server")


class GrpcBridge:
    """Listens for calls and passes them to routes, whose paths are "/Service/Method"."""

    def __init__(self, state: ServerState, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self.port = 0
        self._state = state
        self._server: Any = None
        # Keeps a reference to calls that run on after their client has disconnected.
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, app: ASGIApp) -> None:
        """Listen at the port of the settings; `port` is set, also if that was any free one.

        Raises InputError for a port that cannot be opened.
        """
        settings = self._state.settings
        options = [
            # Otherwise a second server on the same port would take half of the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", settings.max_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            ("grpc.max_concurrent_streams", _MAX_STREAMS),
            ("grpc.max_connection_idle_ms", settings.keep_alive * 1000),
        ]
        self._server = grpc.aio.server(
            handlers=self._handlers(app),
            options=options,
            maximum_concurrent_rpcs=_MAX_CALLS,
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
        """Take no more calls, and finish those under way within `drain`; idempotent."""
        if self._server is not None:
            await self._server.stop(self._state.settings.drain)

    def _handlers(self, app: ASGIApp) -> list[Any]:
        # As streams of messages, so that the key is checked before the message has arrived.
        services: dict[str, dict[str, Any]] = {
            _HEALTH: {"Check": grpc.unary_unary_rpc_method_handler(self._health)}
        }
        for route in self.routes:
            _, service, method = route.path.split("/")
            call = partial(self._call, app, route.path)
            handler = grpc.stream_unary_rpc_method_handler(call)
            services.setdefault(service, {})[method] = handler
        return [grpc.method_handlers_generic_handler(*item) for item in services.items()]

    async def _health(self, content: bytes, context: Any) -> bytes:
        return _SERVING if self._state.ready else _NOT_SERVING

    async def _call(self, app: ASGIApp, path: str, messages: Any, context: Any) -> bytes:
        request = _BridgedRequest(path, messages, context)
        task = asyncio.create_task(request.run(app))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            # Not cancelled with the call: the application is to learn of the disconnect.
            await asyncio.shield(task)
        except asyncio.CancelledError:
            request.disconnected.set()
            raise
        except Exception:  # noqa: BLE001 - its message is for the logs, not for the client
            _log.exception("the call failed")
        headers = request.headers
        metadata = tuple((n, headers[n]) for n in _METADATA_HEADERS if n in headers)
        if request.status == 200:
            context.set_trailing_metadata(metadata)
            return bytes(request.content)
        code = _CODES.get(request.status, grpc.StatusCode.INTERNAL)
        await context.abort(code, request.error_message, metadata)
        raise AssertionError("abort raises")


class _BridgedRequest:
    """One call as an ASGI request, and the application's response."""

    def __init__(self, path: str, messages: Any, context: Any) -> None:
        self.disconnected = asyncio.Event()
        self.status, self.content = 0, bytearray()
        self.headers: Mapping[str, str] = {}
        self._messages, self._read = messages, False
        self._scope = _scope(path, context)

    @property
    def error_message(self) -> str:
        """The message in the body of an error response."""
        try:
            body = json.loads(self.content)
            return clean(str(body["message"]))[:_MAX_MESSAGE]
        except (ValueError, KeyError, TypeError):
            return "something went wrong"

    async def run(self, app: ASGIApp) -> None:
        """Run the application."""
        await app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._read:
            content = await anext(aiter(self._messages), b"")
            self._read = True
            return {"type": "http.request", "body": content, "more_body": False}
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {
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
