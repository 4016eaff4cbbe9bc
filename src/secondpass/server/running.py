"""Running a server until it is told to stop."""

from __future__ import annotations

import signal

from secondpass.errors import InputError, MissingExtraError
from secondpass.server.app import create_app
from secondpass.server.settings import ServerSettings


def run(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    Raises InputError where the port cannot be had, MissingExtraError without the extra
    `server`, and what loading a model raises.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("A server", package="uvicorn", extra="server") from error
    app = create_app(settings)
    # Before the port is opened, so that a model that cannot be loaded is one clear error.
    app.state.service.load()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=int(settings.drain) + 1,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    # When it has drained, uvicorn raises the signal once more: to have stopped as told is
    # no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit as error:
        raise InputError(
            f"The server could not start at {settings.host}:{settings.port}",
            fix="Look at what is printed above; try another --port.",
        ) from error
