"""Atomic file replacement, and errors of disks and folders."""

import errno
import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from secondpass.storage import open_replacement, place_problem, replace_file, store_error


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    replace_file(path, "first\n")
    replace_file(path, "zweite Fassung: ü\n")
    assert path.read_bytes() == "zweite Fassung: ü\n".encode()
    replace_file(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_file(path, "what it says")
        assert os.read(reader, 100) == b"what it says"
        assert stat.S_ISFIFO(path.stat().st_mode)
    finally:
        os.close(reader)


def test_an_error_while_writing_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    replace_file(path, "old")

    def write_half() -> None:
        with open_replacement(path) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_missing_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "missing" / "file.txt", "text")


@pytest.mark.parametrize("step", ["open", "fsync", "rename"])
def test_errors_name_the_file_that_is_replaced(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*names: object) -> None:
        raise OSError(errno.ENOSPC, "full", *([str(names[0])] if step != "fsync" else []))

    owner, name = (Path, "replace") if step == "rename" else (os, step)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(OSError, match="full") as caught:
            replace_file(tmp_path / "file.txt", "text")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "file.txt"), None)
    assert list(tmp_path.iterdir()) == []


def test_file_and_folder_are_flushed_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    flush, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        kind = os.fstat(descriptor).st_mode
        steps.append("folder" if stat.S_ISDIR(kind) else "file")
        flush(descriptor)

    def replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    replace_file(tmp_path / "file.txt", "text")
    assert steps == ["file", "rename", *(["folder"] if os.name == "posix" else [])]


@pytest.mark.skipif(sys.platform == "win32", reason="no permission bits")
def test_the_permissions_are_those_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    replace_file(path, "secret", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_and_a_closed_folder_are_told_in_words(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "small.sqlite", isolation_level=None)
    database.execute("PRAGMA max_page_count = 2")
    database.execute("CREATE TABLE t0 (c)")
    with pytest.raises(sqlite3.Error) as full:
        database.execute("CREATE TABLE t1 (c)")
    database.close()
    closed = sqlite3.connect(f"file:{tmp_path / 'small.sqlite'}?mode=ro", uri=True)
    with pytest.raises(sqlite3.Error) as read_only:
        closed.execute("DROP TABLE t0")
    closed.close()
    rust = "lance error: LanceError(IO): No space left on device (os error 28), writer.rs:258:9"
    expected = [
        (full.value, errno.ENOSPC),
        (read_only.value, errno.EACCES),
        (RuntimeError(rust), errno.ENOSPC),
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError(errno.EROFS, "Read-only file system"), errno.EROFS),
        (PermissionError(errno.EACCES, "Permission denied"), errno.EACCES),
    ]
    for error, number in expected:
        problem = place_problem(error)
        assert problem is not None
        assert problem.errno == number
        failed = store_error("the documents were not stored", tmp_path, error)
        assert (failed.errno, failed.why, failed.fix) == (number, problem.why, problem.fix)
    for other in (RuntimeError("broken"), OSError(errno.ENOENT, "missing"), OSError("timeout")):
        assert place_problem(other) is None
        assert store_error("not stored", tmp_path, other).errno is None
