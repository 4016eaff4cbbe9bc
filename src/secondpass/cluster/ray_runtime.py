"""The Ray that bulk work runs on: a cluster that is there, or one on this machine alone."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.storage import exclusive, is_locked

# Ray keeps results there until they are fetched; those of bulk work are small and soon fetched.
_OBJECT_BYTES = 512 * 1024 * 1024
_CONNECT_SECONDS = 5.0
_DEFAULT_PORT = 6379
_FOLDER, _LOCK = "secondpass-ray-", "secondpass.lock"

# Ray reads these when it is imported, and passes them on to the processes that it starts.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# The name is misleading: 0 makes the processes of Ray listen on the loopback interface only,
# and 127.0.0.1 as an argument of ray.init is replaced by the address of the machine.
_LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_AUTH_MODE, _AUTH_TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"


@dataclass(frozen=True, slots=True)
class RayRuntime:
    """A connection to Ray: the module `ray`, and whether the cluster is this process's own."""

    ray: Any
    own: bool

    def free_cpus(self) -> float:
        """Return how many CPUs no actor or task holds."""
        return float(self.ray.available_resources().get("CPU", 0.0))

    def total_cpus(self) -> float:
        """Return how many CPUs the machines of the cluster have."""
        return float(self.ray.cluster_resources().get("CPU", 0.0))


def cluster_address(address: str | None) -> str | None:
    """Return the address to connect to: that given, else RAY_ADDRESS; None for a new Ray.

    Raises InputError for an address that is none, or where nothing listens.
    """
    if address is None:
        address = os.environ.get("RAY_ADDRESS") or None
    if address is None or address == "local":
        return None
    if address == "auto":
        return address
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(
            "There is no Ray at this address",
            where=address,
            why=error.strerror or str(error),
            fix="Start one with: ray start --head, which prints its address; or leave "
            "--address out for one on this machine.",
        ) from error
    return address


def _host_and_port(address: str) -> tuple[str, int]:
    if "://" in address:
        raise InputError(
            "This is not the address of a Ray cluster",
            where=address,
            why="a command runs on a machine of the cluster, not through Ray Client",
            fix=f'Give HOST:PORT, as in head:{_DEFAULT_PORT}, or "auto" on a machine of the '
            "cluster.",
        )
    host, colon, port = address.rpartition(":")
    if not colon:
        host, port = address, str(_DEFAULT_PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(
            "This is not the address of a Ray cluster",
            where=address,
            fix=f'Give HOST:PORT, as in head:{_DEFAULT_PORT}, or "auto" on a machine of the '
            "cluster.",
        )
    return host.strip("[]"), int(port)


@contextmanager
def ray_runtime(
    address: str | None = None, *, cpus: int | None = None, logs: bool = False
) -> Iterator[RayRuntime]:
    """Connect to the Ray at an address, or start one on this machine; leave it at the end.

    `address`: HOST:PORT or "auto"; None for RAY_ADDRESS, else for a Ray of `cpus` CPUs (all if
    None) that listens on the loopback interface only, without a dashboard, and ends with the
    block. A process that is connected already stays so. Ray sends no usage statistics, and
    takes no connection without a token, unless the program has imported it before. `logs`:
    whether what the processes of Ray print appears on standard error here.

    Raises MissingExtraError without the extra `ray`, InputError where no Ray can be reached.
    """
    place = cluster_address(address)
    added = {**_QUIET} if place is not None else {**_QUIET, **_LOOPBACK_ONLY}
    if place is None and _takes_token():
        added[_AUTH_MODE] = "token"
        if _AUTH_TOKEN not in os.environ:
            # Else Ray writes a token into the home folder.
            added[_AUTH_TOKEN] = _own_token()
    with _environment(added):
        ray = _import_ray()
        if ray.is_initialized():
            yield RayRuntime(ray, own=False)
            return
        if place is not None:
            _connect(ray, place, logs)
            try:
                yield RayRuntime(ray, own=False)
            finally:
                ray.shutdown()
            return
        with _own_folder() as folder:
            try:
                _start(ray, folder, cpus, logs)
                yield RayRuntime(ray, own=True)
            finally:
                ray.shutdown()


@cache
def _takes_token() -> bool:
    # Ray reads it when it is imported: a program that has imported it before decides.
    return "ray" not in sys.modules or os.environ.get(_AUTH_MODE) == "token"


@cache
def _own_token() -> str:
    # Ray reads the token once in a process, also where it is started a second time.
    return secrets.token_hex(32)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("Work on several machines", package="ray", extra="ray") from (
            error
        )
    # What matters is raised; the rest is about Ray itself.
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


def _start(ray: Any, folder: Path, cpus: int | None, logs: bool) -> None:
    # Of _LOOPBACK_ONLY, where the program has imported Ray before.
    constants: Any = importlib.import_module("ray._private.ray_constants")
    constants.ENABLE_RAY_CLUSTER = False
    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=logs,
            configure_logging=False,
            object_store_memory=_OBJECT_BYTES,
            _temp_dir=str(folder),
        )
    # Ray raises exceptions of no class of its own where its processes do not answer in time.
    except Exception as error:
        raise InputError(
            "Ray could not be started on this machine",
            why=" ".join(str(error).split())[:300],
            fix="Try again when the machine has less to do; its log is where Ray says.",
        ) from error


def _connect(ray: Any, address: str, logs: bool) -> None:
    try:
        ray.init(address=address, log_to_driver=logs, configure_logging=False)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        ray.shutdown()
        raise InputError(
            "The Ray cluster cannot be used",
            where=address,
            why=" ".join(str(error).split())[:300],
            fix="Run the command on a machine of the cluster, with the same versions of "
            "Python and Ray; `ray status` shows whether it is one.",
        ) from error


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Make a folder for Ray's sockets and logs, and delete it and those of killed processes."""
    # The paths of sockets may have 107 characters, and TMPDIR is long on macOS.
    short = Path("/tmp")
    place = short if short.is_dir() else Path(tempfile.gettempdir())
    for left in place.glob(f"{_FOLDER}*"):
        if (left / _LOCK).is_file() and not is_locked(left / _LOCK):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=place))
    try:
        with exclusive(folder / _LOCK):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Set variables that are not set, and take them back at the end."""
    new = {name: value for name, value in added.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
