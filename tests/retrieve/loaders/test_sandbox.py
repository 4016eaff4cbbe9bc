"""Files that take too much, or end what reads them, cost themselves and nothing else."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from secondpass.errors import InputError, ReadError
from secondpass.retrieve.loaders.sandbox import MEGABYTES, SECONDS, ConversionSandbox, cancel_on
from tests.retrieve.loaders.pdfs import WORDS, endless, pdf, swelling

pytest.importorskip("markitdown")
pytest.importorskip("pdfminer")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once somebody waits for an answer."""
    found, get = threading.Event(), queue.Queue.get

    def seen(*given: Any, **options: Any) -> Any:
        found.set()
        return get(*given, **options)

    monkeypatch.setattr(queue.Queue, "get", seen)
    return found


@pytest.fixture
def sandbox() -> Iterator[ConversionSandbox]:
    sandbox = ConversionSandbox()
    yield sandbox
    sandbox.close()


def saying(path: Path, words: str) -> Path:
    path.write_bytes(pdf(WORDS % words.encode()))
    return path


def text(sandbox: ConversionSandbox, path: Path) -> str:
    return sandbox.convert(path)[0].strip()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_file_that_swells(
    sandbox: ConversionSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEGABYTES, "400")
    good, bad = saying(tmp_path / "good.pdf", "fine"), tmp_path / "bad.pdf"
    bad.write_bytes(swelling(900))
    assert bad.stat().st_size < 2_000_000
    with pytest.raises(ReadError, match=rf"bad\.pdf.*over 400 MB.*{MEGABYTES}"):
        sandbox.convert(bad)
    assert text(sandbox, good) == "fine"


def test_a_file_that_takes_for_ever(
    sandbox: ConversionSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = saying(tmp_path / "good.pdf", "fine"), tmp_path / "bad.pdf"
    bad.write_bytes(endless())
    assert text(sandbox, good) == "fine"
    first = sandbox._process
    monkeypatch.setenv(SECONDS, "1")
    with pytest.raises(ReadError, match=rf"bad\.pdf.*over 1 seconds.*{SECONDS}"):
        sandbox.convert(bad)
    monkeypatch.delenv(SECONDS)
    assert text(sandbox, good) == "fine"
    assert sandbox._process is not first


def test_what_reads_is_ended_by_somebody(
    sandbox: ConversionSandbox, tmp_path: Path, waits: threading.Event
) -> None:
    good, bad = saying(tmp_path / "good.pdf", "fine"), tmp_path / "bad.pdf"
    assert text(sandbox, good) == "fine"
    assert sandbox._process is not None
    sandbox._process._child.kill()
    sandbox._process._child.wait()
    assert text(sandbox, good) == "fine"
    # In the middle of a file, which then is as good as one that crashed it.
    bad.write_bytes(endless())
    process = sandbox._process
    waits.clear()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(sandbox.convert, bad)
        assert waits.wait(10)
        process._child.send_signal(signal.SIGSEGV)
        with pytest.raises(ReadError, match=r"bad\.pdf.*exited with status -11"):
            waiting.result(30)
    assert text(sandbox, good) == "fine"


def test_an_interrupted_file_leaves_no_answer_for_the_next(
    sandbox: ConversionSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = saying(tmp_path / "one.pdf", "one"), saying(tmp_path / "two.pdf", "two")
    assert text(sandbox, one) == "one"

    def interrupted(*given: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(queue.Queue, "get", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sandbox.convert(one)
    assert text(sandbox, two) == "two"


def test_a_conversion_is_cancelled_before_and_while_it_runs(
    sandbox: ConversionSandbox, tmp_path: Path, waits: threading.Event
) -> None:
    good, bad = saying(tmp_path / "good.pdf", "fine"), tmp_path / "bad.pdf"
    bad.write_bytes(endless())
    assert text(sandbox, good) == "fine"
    cancelled = threading.Event()

    def read() -> None:
        with cancel_on(cancelled):
            sandbox.convert(bad)

    with ThreadPoolExecutor(1) as threads:
        waits.clear()
        waiting = threads.submit(read)
        assert waits.wait(10)
        cancelled.set()
        sandbox.cancel()
        with pytest.raises(ReadError, match="exited with status -9"):
            waiting.result(30)
        with pytest.raises(ReadError, match="was cancelled"):
            threads.submit(read).result(30)
    assert text(sandbox, good) == "fine"


def test_files_of_the_current_folder_are_not_run(
    sandbox: ConversionSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    (tmp_path / "markitdown.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert text(sandbox, saying(tmp_path / "a.pdf", "fine")) == "fine"


def test_what_does_not_start_says_so(
    sandbox: ConversionSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "markitdown.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ReadError, match=r"does not start.*status 3.*secondpass\[ingest\]"):
        sandbox.convert(tmp_path / "a.pdf")


def test_threads_each_get_their_own(sandbox: ConversionSandbox, tmp_path: Path) -> None:
    paths = [saying(tmp_path / f"{n}.pdf", f"file {n}") for n in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda path: text(sandbox, path), paths))
    assert found == [f"file {n}" for n in range(8)]


def test_paths_that_are_odd(sandbox: ConversionSandbox, tmp_path: Path) -> None:
    for name in ("a b.pdf", "é🌊.pdf", "line\nbreak.pdf", os.fsdecode(b"\xff.pdf")):
        try:
            path = saying(tmp_path / name, "fine")
        except OSError:
            continue  # Not every file system has such names.
        assert text(sandbox, path) == "fine"


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "²", "9" * 12])
def test_limits_that_are_none(
    sandbox: ConversionSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    for variable in (SECONDS, MEGABYTES):
        with monkeypatch.context() as changed:
            changed.setenv(variable, value)
            with pytest.raises(InputError, match=variable):
                sandbox.convert(tmp_path / "a.pdf")


def test_it_ends_with_its_owner(tmp_path: Path) -> None:
    path = saying(tmp_path / "a.pdf", "fine")
    code = (
        "from pathlib import Path; import sys\n"
        "from secondpass.retrieve.loaders import office\n"
        "print([d.text.strip() for d in office.load(Path(sys.argv[1]), 'a')])\n"
        "print(office.sandbox()._process._child.pid)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said, number = done.stdout.splitlines()
    assert (said, done.stderr) == ("['fine']", "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(number), 0)


def test_no_thread_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    sandbox = ConversionSandbox()
    text(sandbox, saying(tmp_path / "a.pdf", "fine"))
    sandbox.close()
    assert set(threading.enumerate()) == before
