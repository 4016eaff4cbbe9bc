"""Runs a server with uvicorn until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.errors import InputError, MissingExtraError
from secondpass.server.app import create_app
from secondpass.server.settings import ServerSettings
from secondpass.server.telemetry.logs import configure_logging
from secondpass.storage import place_problem

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn
    from fastapi import FastAPI


_log = logging.getLogger("secondpass.server")
# Seconds after the time to drain in which a stopped process must have ended.
_EXIT_GRACE = 5.0


def run(
    settings: ServerSettings,
    *,
    log: str | None = None,
    log_level: str = "info",
    otel: bool | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way.

    - `log`, `log_level`: see `configure_logging`.
    - `otel`: whether to send traces; None leaves it to OpenTelemetry's environment variables.
    - `on_start`: called with the server's address once it accepts requests; must not block.

    Raises InputError where the port cannot be opened, MissingExtraError without the extra
    `server`, and what loading a model raises.
    """
    try:
        import uvicorn  # noqa: F401 - an error here comes before models are loaded
    except ImportError as error:
        raise MissingExtraError("A server", package="uvicorn", extra="server") from error
    _check_settings(settings)
    from secondpass.server.telemetry.tracing_settings import make_traces

    with configure_logging(log, log_level):
        if settings.data is not None:
            _check_writable(settings.data)
        app = create_app(settings, traces=make_traces(otel))
        # Before the port is opened, so that a model that cannot be loaded is one clear error.
        app.state.server.load()
        server = make_server(app, settings, on_start=on_start)
        # When it has drained, uvicorn raises the signal again, which must not be a failure.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        system_exit: SystemExit | None = None
        try:
            server.run()
        except SystemExit as error:
            system_exit = error
        _release_exit()
        if app.state.failed is not None:
            raise app.state.failed
        if system_exit is not None or not server.started:
            raise InputError(
                f"The server could not start at {settings.host}:{settings.port}",
                fix="See the error printed above; try another --port.",
            ) from system_exit


def _check_settings(settings: ServerSettings) -> None:
    """Raise where a server would start, and then be of no use."""
    if settings.keys is not None and not settings.keys.is_file():
        raise InputError(
            "The file of --keys is not there, so nobody could use the server",
            where=str(settings.keys),
            fix=f"Make a key first: secondpass keys create NAME --keys {settings.keys}",
        )
    if (settings.data is not None or settings.indexes) and find_spec("lancedb") is None:
        raise MissingExtraError("--data and --index", package="lancedb", extra="index")


def _check_writable(data: Path) -> None:
    """Warn where nothing can be written to the folder, whose indexes can still be searched.

    Raises InputError where there is no such folder, and none can be made.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data):
            pass
    except OSError as error:
        problem = place_problem(error)
        if problem is None or not data.is_dir():
            raise InputError(
                "The folder of --data cannot be used",
                where=str(data),
                why=error.strerror if problem is None else problem.why,
                fix="Name a folder with --data that this user may write to.",
            ) from error
        fields = {"data": str(data), "why": problem.why, "fix": problem.fix}
        _log.warning(
            "nothing can be written to the folder of --data: indexes in it can be searched, "
            "and requests that create or change some are answered with 503",
            extra={"fields": fields},
        )


def check_port(host: str, port: int) -> None:
    """Raise InputError where the port is taken; another process may still take it later."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            # As the server itself does, so that a port in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"The port {port} cannot be opened",
                where=host,
                why=error.strerror,
                fix=f"Stop the program that has it, or name another one: --port {port + 1}, "
                "or --port 0 for any free one.",
            ) from error


def make_server(
    app: FastAPI,
    settings: ServerSettings,
    *,
    on_start: Callable[[str], None] | None = None,
) -> uvicorn.Server:
    """Build the server of the application, for HTTP and gRPC; see `run` for `on_start`."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started and on_start is not None:
                port = self.servers[0].sockets[0].getsockname()[1]
                host = f"[{settings.host}]" if ":" in settings.host else settings.host
                on_start(f"http://{host}:{port}")

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            _limit_exit(settings.drain + _EXIT_GRACE)
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            grpc = app.state.grpc
            # Concurrently, so that no gRPC calls are taken while HTTP requests are drained.
            shutdowns = [super().shutdown(sockets), *([] if grpc is None else [grpc.stop()])]
            await asyncio.gather(*shutdowns)

    return Server(_config(app, settings))


def _limit_exit(seconds: float) -> None:
    """Let the system end this process after so many seconds (POSIX).

    A thread that waits for a language model, or computes in C, can be told nothing, and the
    interpreter would wait for it; an alarm without a handler needs neither.
    """
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _release_exit() -> None:
    """Take the limit back, unless a thread is still busy."""
    workers = [t for t in threading.enumerate() if t.name.startswith("secondpass-")]
    for thread in workers:
        thread.join(0.5)
    busy = sum(thread.is_alive() for thread in workers)
    if busy:
        _log.warning("still busy", extra={"fields": {"threads": busy}})
    elif hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _config(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    import uvicorn

    from secondpass.server.access.slow_clients import (
        MAX_HEADER_BYTES,
        header_timeout_protocol,
    )

    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        # Always this one, whatever is installed: its limits are tested.
        http=header_timeout_protocol(settings.header_timeout),
        ws="none",
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=int(settings.drain) + 1,
        log_config=None,
        access_log=False,
        server_header=False,
    )
