"""Running a server until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING

from secondpass.errors import InputError, MissingExtraError
from secondpass.server.app import create_app
from secondpass.server.settings import ServerSettings
from secondpass.server.telemetry.logs import logging_as

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI


def run(
    settings: ServerSettings,
    *,
    log: str | None = None,
    log_level: str = "info",
    otel: bool | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    - `log`, `log_level`: see `logging_as`.
    - `otel`: whether to send traces; None for what the environment variables of OpenTelemetry
      say.

    Raises InputError where the port cannot be had, MissingExtraError without the extra
    `server`, and what loading a model raises.
    """
    try:
        import uvicorn  # noqa: F401 - missing is better told before models are loaded
    except ImportError as error:
        raise MissingExtraError("A server", package="uvicorn", extra="server") from error
    from secondpass.server.telemetry.tracing_settings import make_traces

    with logging_as(log, log_level):
        app = create_app(settings, traces=make_traces(otel))
        # Before the port is opened, so that a model that cannot be loaded is one clear error.
        app.state.server.load()
        server = server_of(app, settings)
        # When it has drained, uvicorn raises the signal once more: to have stopped as told is
        # no failure.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        stopped: SystemExit | None = None
        try:
            server.run()
        except SystemExit as error:
            stopped = error
        if app.state.failed is not None:
            raise app.state.failed
        if stopped is not None or not server.started:
            raise InputError(
                f"The server could not start at {settings.host}:{settings.port}",
                fix="Look at what is printed above; try another --port.",
            ) from stopped


def server_of(app: FastAPI, settings: ServerSettings) -> uvicorn.Server:
    """Return what serves the application, HTTP and gRPC, until it is told to stop."""
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            grpc = app.state.grpc
            # Beside each other: else calls would be taken while requests are drained.
            stopping = [super().shutdown(sockets), *([] if grpc is None else [grpc.stop()])]
            await asyncio.gather(*stopping)

    return Server(configured(app, settings))


def configured(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    import uvicorn

    from secondpass.server.access.slow_clients import MOST_HEADERS, hurried

    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # Not what happens to be installed: its limits are those that are tested.
        http=hurried(settings.header_timeout),
        ws="none",
        h11_max_incomplete_event_size=MOST_HEADERS,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=int(settings.drain) + 1,
        log_config=None,
        access_log=False,
        server_header=False,
    )
