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
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from secondpass.errors import InputError, ReadError
from secondpass.retrieve.loaders import SourceFile, files, read_file
from secondpass.retrieve.loaders.sandbox import (
    CHARACTERS,
    MEGABYTES,
    SECONDS,
    Cancellation,
    FileRead,
    ReadLimits,
    Sandbox,
)
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
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def saying(path: Path, words: str) -> Path:
    path.write_bytes(pdf(WORDS % words.encode()))
    return path


def open_file(
    sandbox: Sandbox, path: Path, cancellation: Cancellation | None = None
) -> FileRead:
    limits = ReadLimits.from_environment()
    return FileRead(sandbox.read(path, "x", limits=limits, cancellation=cancellation))


def text(sandbox: Sandbox, path: Path) -> str:
    (document,) = open_file(sandbox, path)
    return document.text.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_file_that_swells(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEGABYTES, "400")
    good, bad = saying(tmp_path / "good.pdf", "fine"), tmp_path / "bad.pdf"
    bad.write_bytes(swelling(900))
    assert bad.stat().st_size < 2_000_000
    with pytest.raises(ReadError, match=rf"bad\.pdf.*over 400 MB.*{MEGABYTES}"):
        text(sandbox, bad)
    assert text(sandbox, good) == "fine"


def test_a_file_that_takes_for_ever(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = saying(tmp_path / "good.pdf", "fine"), tmp_path / "bad.pdf"
    bad.write_bytes(endless())
    assert text(sandbox, good) == "fine"
    (first,) = sandbox._idle
    monkeypatch.setenv(SECONDS, "1")
    with pytest.raises(ReadError, match=rf"bad\.pdf.*over 1 seconds.*{SECONDS}"):
        text(sandbox, bad)
    monkeypatch.delenv(SECONDS)
    assert text(sandbox, good) == "fine"
    assert sandbox._idle != [first]


def test_what_reads_is_ended_by_somebody(
    sandbox: Sandbox, tmp_path: Path, waits: threading.Event
) -> None:
    good, bad = saying(tmp_path / "good.pdf", "fine"), tmp_path / "bad.pdf"
    assert text(sandbox, good) == "fine"
    (process,) = sandbox._idle
    process._child.kill()
    process._child.wait()
    assert text(sandbox, good) == "fine"
    # In the middle of a file, which then is as good as one that crashed it.
    bad.write_bytes(endless())
    (process,) = sandbox._idle
    waits.clear()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(text, sandbox, bad)
        assert waits.wait(10)
        process._child.send_signal(signal.SIGSEGV)
        with pytest.raises(ReadError, match=r"bad\.pdf.*exited with status -11"):
            waiting.result(30)
    assert text(sandbox, good) == "fine"


def test_an_interrupted_file_leaves_no_answer_for_the_next(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = saying(tmp_path / "one.pdf", "one"), saying(tmp_path / "two.pdf", "two")
    assert text(sandbox, one) == "one"

    def interrupted(*given: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(queue.Queue, "get", interrupted)
        with pytest.raises(KeyboardInterrupt):
            text(sandbox, one)
    assert text(sandbox, two) == "two"


def test_a_conversion_is_cancelled_before_and_while_it_runs(
    sandbox: Sandbox, tmp_path: Path, waits: threading.Event
) -> None:
    good, bad = saying(tmp_path / "good.pdf", "fine"), tmp_path / "bad.pdf"
    bad.write_bytes(endless())
    assert text(sandbox, good) == "fine"
    cancellation = Cancellation()

    def read() -> None:
        list(open_file(sandbox, bad, cancellation))

    with ThreadPoolExecutor(1) as threads:
        waits.clear()
        waiting = threads.submit(read)
        assert waits.wait(10)
        cancellation.cancel()
        with pytest.raises(ReadError, match="exited with status -9"):
            waiting.result(30)
        with pytest.raises(ReadError, match="was cancelled"):
            threads.submit(read).result(30)
    assert text(sandbox, good) == "fine"


def test_files_of_the_current_folder_are_not_run(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    (tmp_path / "markitdown.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert text(sandbox, saying(tmp_path / "a.pdf", "fine")) == "fine"


def test_what_does_not_start_says_so(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "markitdown.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ReadError, match=r"does not start.*status 3.*\[index,ingest\]"):
        text(sandbox, tmp_path / "a.pdf")


def test_threads_each_get_their_own(sandbox: Sandbox, tmp_path: Path) -> None:
    paths = [saying(tmp_path / f"{n}.pdf", f"file {n}") for n in range(8)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda path: text(sandbox, path), paths))
    assert found == [f"file {n}" for n in range(8)]


def test_paths_that_are_odd(sandbox: Sandbox, tmp_path: Path) -> None:
    for name in ("a b.pdf", "é🌊.pdf", "line\nbreak.pdf", os.fsdecode(b"\xff.pdf")):
        try:
            path = saying(tmp_path / name, "fine")
        except OSError:
            continue  # Not every file system has such names.
        assert text(sandbox, path) == "fine"


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "²", "9" * 12])
def test_limits_that_are_none(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    for variable in (SECONDS, MEGABYTES, CHARACTERS):
        with monkeypatch.context() as changed:
            changed.setenv(variable, value)
            with pytest.raises(InputError, match=variable):
                text(sandbox, tmp_path / "a.pdf")


def test_it_ends_with_its_owner(tmp_path: Path) -> None:
    path = saying(tmp_path / "a.pdf", "fine")
    code = (
        "from pathlib import Path; import sys\n"
        "from secondpass.retrieve.loaders import files\n"
        "source = files.SourceFile(Path(sys.argv[1]), Path(sys.argv[1]).parent)\n"
        "print([d.text.strip() for d in files.read_file(source)])\n"
        "print(files.sandbox()._idle[0]._child.pid)\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said, number = done.stdout.splitlines()
    assert (said, done.stderr) == ("['fine']", "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(number), 0)


def test_no_thread_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    sandbox = Sandbox()
    text(sandbox, saying(tmp_path / "a.pdf", "fine"))
    sandbox.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("name", ["a.html", "a.jsonl", "a.csv", "a.tsv", "a.md", "a.txt"])
def test_every_format_gives_the_same_apart(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("text\n" + '{"text": "é", "a": 1.5, "b": [1]}\n' * 600, "utf-8")
    file = SourceFile(path, tmp_path)
    here = FileRead(files.load_batches(file, characters=1000))
    apart = read_file(file, limits=ReadLimits(60, 500, 1000), apart=True)

    def documents(read: FileRead) -> list[object]:
        found: list[object] = []
        try:
            found += read
        except ReadError as error:
            found.append(str(error))
        return found

    assert documents(here) == documents(apart)
    assert (here.cut, here.left_out) == (apart.cut, apart.left_out)


def test_documents_before_an_error_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x"}\n' * 300 + "{")
    documents = read_file(SourceFile(path, tmp_path))
    assert [next(documents).id for _ in range(300)][-1] == "a.jsonl:300"
    with pytest.raises(ReadError, match="line 301"):
        next(documents)


def test_text_beyond_the_limit_is_cut_and_counted(tmp_path: Path) -> None:
    for name, text in (("a.txt", "x" * 120), ("a.html", f"<p>{'x' * 120}")):
        path = tmp_path / name
        path.write_text(text)
        read = read_file(SourceFile(path, tmp_path), limits=ReadLimits(60, 500, 100))
        (document,) = read
        assert (len(document.text), read.cut) == (100, 20)


def test_two_files_are_read_at_once_and_one_is_abandoned(tmp_path: Path) -> None:
    one, two = (SourceFile(tmp_path / f"{n}.jsonl", tmp_path) for n in "ab")
    for file in (one, two):
        file.path.write_text("".join(f'{{"text": "{file.name} {n}"}}\n' for n in range(600)))
    first, second = read_file(one), read_file(two)
    pairs = [(next(first).text, next(second).text) for _ in range(300)]
    assert pairs[299] == ("a.jsonl 299", "b.jsonl 299")
    first.close()
    assert [d.text for d in second] == [f"b.jsonl {n}" for n in range(300, 600)]


def test_a_tag_of_very_many_attributes_ends_at_the_time_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<p " + " ".join(f"a{n}=1" for n in range(150_000)) + ">x")
    with pytest.raises(ReadError, match="it took over 1 seconds"):
        list(read_file(SourceFile(path, tmp_path), limits=ReadLimits(1, 500, 1000)))
    path.write_text("<p>fine")
    assert [d.text for d in read_file(SourceFile(path, tmp_path))] == ["fine"]


def test_values_that_no_index_stores_keep_the_names_of_their_types(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    row = {"text": "x", "day": date(2020, 1, 1), "price": Decimal("1.5"), "list": [1, None]}
    parquet.write_table(pa.Table.from_pylist([row]), path)
    (document,) = read_file(SourceFile(path, tmp_path))
    assert type(document.metadata["price"]).__name__ == "Decimal"
    assert document.metadata["day"] == date(2020, 1, 1)
    assert document.metadata["list"] == [1, None]
