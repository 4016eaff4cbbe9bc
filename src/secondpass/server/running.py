"""Running a server until it is told to stop."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from secondpass.errors import InputError, MissingExtraError
from secondpass.server.app import create_app
from secondpass.server.observing.logs import logging_as
from secondpass.server.settings import ServerSettings

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
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("A server", package="uvicorn", extra="server") from error
    from secondpass.server.observing.otel import traces_wanted

    with logging_as(log, log_level):
        app = create_app(settings, traces=traces_wanted(otel))
        # Before the port is opened, so that a model that cannot be loaded is one clear error.
        app.state.service.load()
        server = uvicorn.Server(configured(app, settings))
        # When it has drained, uvicorn raises the signal once more: to have stopped as told is
        # no failure.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        stopped: SystemExit | None = None
        try:
            server.run()
        except SystemExit as error:
            stopped = error
        if stopped is not None or not server.started:
            raise InputError(
                f"The server could not start at {settings.host}:{settings.port}",
                fix="Look at what is printed above; try another --port, or --grpc-port.",
            ) from stopped


def configured(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    import uvicorn

    from secondpass.server.guarding.hurried import MOST_HEADERS, hurried

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
