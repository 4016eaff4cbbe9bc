"""Files on disk: atomic replacement, locks between processes, shared SQLite files."""

from __future__ import annotations

import errno
import os
import re
import secrets
import sqlite3
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from secondpass.errors import IndexStoreError, InputError


def expand_home(path: str | Path) -> Path:
    """Return the path with "~" or "~user" at its beginning as the home folder.

    The text "./~user" is a name in the current folder. Raises InputError for a user that
    there is not.
    """
    found = Path(path)
    if not str(path).startswith("~"):
        # Path has dropped "./", and whoever expands the path again must not see a user.
        return found.absolute() if str(found).startswith("~") else found
    try:
        return found.expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{found.parts[0]!r} is not the home folder of a user",
            where=str(path),
            why=str(error).rstrip("."),
            fix=f"For a file of that name in the current folder, write {f'./{path}'!r}.",
        ) from error


def user_cache() -> Path:
    """Return the user's folder for what can be made again: in $XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # An empty value means unset there, says the XDG Base Directory Specification.
    return (Path(named) if named else Path.home() / ".cache") / "secondpass"


def user_data() -> Path:
    """Return the user's folder for what is kept: in $XDG_DATA_HOME or ~/.local/share."""
    named = os.environ.get("XDG_DATA_HOME", "")
    return (Path(named) if named else Path.home() / ".local" / "share") / "secondpass"


def replace_file(path: Path, content: bytes | str, *, mode: int = 0o666) -> None:
    """Write a whole file in one atomic step; text is written as UTF-8 with LF line ends.

    After a crash the old file is there or the new one, never a part. `mode` are the
    permissions of the new file, less the umask. Raises OSError where the folder is missing or
    cannot be written; the old file then stays.
    """
    with open_replacement(path, mode=mode) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def open_replacement(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yield a binary stream whose content replaces `path` if the block ends without an error.

    The content goes to a temporary file in the same folder, is flushed to the disk (fsync),
    renamed, and then the folder is flushed too. A device or a pipe, such as /dev/stdout, is
    written to as it is. Errors of the system name `path`. See `replace_file`.
    """
    if path.exists() and (not path.is_file() or path.parent == Path("/dev")):
        with path.open("wb") as stream:
            yield stream
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, mode)
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        # A write that fails names no file, and a rename the temporary one.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can (POSIX)."""
    if os.name != "posix":
        return
    # Some network file systems cannot flush a folder; the file itself is on the disk.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes on a file, which is created if absent.

    Waits for the process that holds it. The lock ends with the process that holds it. Raises
    OSError where the file cannot be created or the file system has no locks.
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(handle)
        yield
    finally:
        # Closing releases the lock, as the end of the process does.
        os.close(handle)


def is_locked(file: Path) -> bool:
    """Return whether a process holds `exclusive` on a file; False where there is no file."""
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(handle)
    finally:
        os.close(handle)


if sys.platform == "win32":

    def _try_lock(handle: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _lock(handle: int) -> None:
        import time

        while not _try_lock(handle):
            time.sleep(0.05)

else:

    def _try_lock(handle: int) -> bool:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)


DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
NOT_WRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

Failure = sqlite3.Error | UnicodeDecodeError
FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What to catch: of a damaged schema SQLite quotes bytes that Python then cannot decode."""

# Long enough for another process to finish its write, too short to spoil a search.
_BUSY_SECONDS = 1.0
_MAX_PARAMETERS = 500

# Connections that a parent process opened: closing one here would break the parent's.
_inherited: list[sqlite3.Connection] = []


def error_code(error: Failure) -> int:
    """Return the kind of an SQLite error, such as `sqlite3.SQLITE_CORRUPT`."""
    if isinstance(error, UnicodeDecodeError):
        return sqlite3.SQLITE_CORRUPT
    # The low byte is the kind of error; errors of the Python module itself have none.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def failure_reason(error: Failure) -> str:
    """Return what is wrong with an SQLite file, for a message."""
    return "its schema is damaged" if isinstance(error, UnicodeDecodeError) else str(error)


def describe_failure(file: Path, error: Failure) -> str:
    """Return the message for a user about an SQLite file that could not be used."""
    return f"{file.name} could not be used: {failure_reason(error)}"


@dataclass(frozen=True, slots=True)
class PlaceProblem:
    """What is wrong with a disk or a folder: the cause in words, and the next step.

    `errno` is ENOSPC for a full disk or quota, EROFS or EACCES where writing is not allowed.
    """

    errno: int
    why: str
    fix: str


_FULL = PlaceProblem(
    errno.ENOSPC,
    "the disk is full",
    "Make space, then run the same again: what was stored before is kept.",
)
_READ_ONLY = PlaceProblem(
    errno.EROFS,
    "the file system is read-only",
    "Mount it writable, or use another folder; searching needs no write access.",
)
_NO_ACCESS = PlaceProblem(
    errno.EACCES,
    "permission denied",
    "Give this user access to the folder, or use another one.",
)
_PROBLEMS = {
    errno.ENOSPC: _FULL,
    getattr(errno, "EDQUOT", errno.ENOSPC): _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _NO_ACCESS,
    errno.EPERM: _NO_ACCESS,
}
_SQLITE_PROBLEMS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _NO_ACCESS,
    sqlite3.SQLITE_PERM: _NO_ACCESS,
    sqlite3.SQLITE_CANTOPEN: _NO_ACCESS,
}
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")


def place_problem(error: BaseException) -> PlaceProblem | None:
    """Return what is wrong with the disk or the folder, or None for any other error.

    Reads the number of an OSError, the code of an SQLite error, and what LanceDB, which is
    written in Rust, quotes of the system: "(os error 28)".
    """
    if isinstance(error, sqlite3.Error):
        return _SQLITE_PROBLEMS.get(error_code(error))
    if isinstance(error, OSError) and error.errno is not None:
        return _PROBLEMS.get(error.errno)
    quoted = _RUST_ERROR.search(str(error))
    return None if quoted is None else _PROBLEMS.get(int(quoted[1]))


def store_error(what: str, where: Path | str, error: BaseException) -> IndexStoreError:
    """Return an error of an index for an error of its files, with the cause in words."""
    problem = place_problem(error)
    if problem is not None:
        return IndexStoreError(
            what, where=str(where), why=problem.why, fix=problem.fix, errno=problem.errno
        )
    text = (failure_reason(error) if isinstance(error, FAILURES) else str(error)).strip()
    return IndexStoreError(what, where=str(where), why=(text or repr(error)).splitlines()[0])


class SqliteFile:
    """A connection to an SQLite file that several processes and threads share.

    - `pragmas`: statements to run after opening; `prepare` is called with a new connection.

    Nothing is opened or made before the first use. The connection is opened again where the
    file was replaced, and in a forked process. Callers hold `lock` while they use it.
    """

    def __init__(
        self,
        path: Path,
        *,
        pragmas: Sequence[str] = (),
        prepare: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self.path = path
        self.lock = threading.Lock()
        self._pragmas, self._prepare = pragmas, prepare
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None

    def connect(self, *, create: bool = False) -> sqlite3.Connection:
        """Return the open connection; with `create` the file need not exist."""
        if self._connection is not None and self._opened == self._location():
            return self._connection
        self.close()
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection = connection
        # SQLite opens the file at the first statement that reads it.
        connection.execute("PRAGMA schema_version")
        if self._prepare is not None:
            self._prepare(connection)
        for pragma in self._pragmas:
            connection.execute(pragma)
        self._opened = self._location()
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection whose changes are committed, or rolled back on an error."""
        connection = self.connect(create=True)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            with suppress(*FAILURES):
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def was_replaced(self) -> bool:
        """Return whether another file has this path now than the one that was opened."""
        return self._opened is not None and self._opened != self._location()

    def close(self) -> None:
        """Close the connection; it is opened again when it is needed."""
        connection, opened = self._connection, self._opened
        self._connection = self._opened = None
        if connection is None:
            return
        if opened is not None and opened[0] != os.getpid():
            _inherited.append(connection)
            return
        connection.close()

    def delete(self) -> None:
        """Close and delete the file, where that is possible."""
        self.close()
        self._delete_logs()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Close the file and rename it to NAME.damaged, where that is possible."""
        self.close()
        self._delete_logs()
        with suppress(OSError):
            self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))

    def __del__(self) -> None:
        self.close()

    def _delete_logs(self) -> None:
        # Before the file: left alone, SQLite would play them back into the next one.
        for suffix in ("-journal", "-wal", "-shm"):
            with suppress(OSError):
                self.path.with_name(f"{self.path.name}{suffix}").unlink(missing_ok=True)

    def _location(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return os.getpid(), stat.st_dev, stat.st_ino


def select_by_key(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes], columns: str = "*"
) -> list[tuple[bytes, bytes]]:
    """Return the rows of a table with a first column `key` and one more, for these keys."""
    rows: list[tuple[bytes, bytes]] = []
    for start in range(0, len(keys), _MAX_PARAMETERS):
        batch = keys[start : start + _MAX_PARAMETERS]
        marks = ",".join("?" * len(batch))
        rows += connection.execute(
            f"SELECT {columns} FROM {table} WHERE key IN ({marks})", batch
        )
    return rows


def add_checksum(key: bytes, data: bytes) -> bytes:
    """Return data behind a CRC-32 of the key and the data, of 4 bytes, little-endian.

    SQLite does not notice a byte that changed inside of a value.
    """
    return zlib.crc32(data, zlib.crc32(key)).to_bytes(4, "little") + data


def verify_checksum(key: bytes, value: bytes) -> bytes:
    """Return the data that `add_checksum` was given; raises ValueError if it was damaged."""
    data = value[4:]
    if add_checksum(key, data) != value:
        raise ValueError("the checksum differs")
    return data
