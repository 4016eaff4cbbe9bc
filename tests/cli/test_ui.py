"""`secondpass ui`: its address, its browser, and what it refuses before it starts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from secondpass import Index, InputError
from secondpass.cli.ui import sample_corpus
from secondpass.evaluate.query_sets import QuerySets
from secondpass.server.serve import check_port
from tests.tiny_models import tiny_reader

COMMAND = [sys.executable, "-m", "secondpass"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_reader(folder)
    return str(folder)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ui") / "docs"
    with Index.open(folder) as opened:
        opened.add([{"id": "sea", "text": "The river meets the sea."}])
    return folder


@contextmanager
def started(*options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command, and yield the address that it prints."""
    with subprocess.Popen(
        [*COMMAND, "ui", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/ui", line)
            assert found is not None, line + process.stderr.read()
            yield found.group(), process
        finally:
            process.kill()


def test_it_prints_the_address_of_the_page_and_ends_with_ctrl_c(
    index: Path, model: str, tmp_path: Path
) -> None:
    options = ["--index", str(index), "--model", model, "--data", str(tmp_path), "--no-browser"]
    with started(*options) as (url, process):
        assert "<html" in httpx2.get(url, timeout=30).text
        about = httpx2.get(url.replace("/ui", "/api/v1/capabilities"), timeout=30).json()
        assert about["default_index"] == "docs"
        assert about["can_create_indexes"] is True
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_it_opens_the_browser_that_the_system_names(
    index: Path, model: str, tmp_path: Path
) -> None:
    opened = tmp_path / "opened"
    script = tmp_path / "browser.py"
    script.write_text(
        f"import pathlib, sys\npathlib.Path({str(opened)!r}).write_text(sys.argv[1])\n"
    )
    browser = f"{sys.executable} {script} %s"
    options = ["--index", str(index), "--model", model, "--data", str(tmp_path / "data")]
    with started(*options, BROWSER=browser, DISPLAY=":none") as (url, process):
        for _ in range(600):
            if opened.is_file() and opened.read_text():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.05)
        assert opened.read_text() == url


def run(*options: str) -> str:
    result = subprocess.run(
        [*COMMAND, "ui", "--no-browser", *options], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    return result.stderr


def test_an_index_that_is_not_there(tmp_path: Path) -> None:
    told = run("--port", "0", "--index", str(tmp_path / "none"))
    assert "There is no index" in told
    assert "secondpass index FILES --index" in told


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = run("--port", str(port))
        assert f"The port {port} cannot be opened" in told
        assert f"--port {port + 1}" in told
        with pytest.raises(InputError, match="cannot be opened"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_the_sample_is_found() -> None:
    assert (sample_corpus() / "corpus.jsonl").is_file()
    assert (sample_corpus() / "README.md").is_file()


def test_the_judged_queries_of_a_collection_are_kept_with_its_index(tmp_path: Path) -> None:
    corpus = tmp_path / "my corpus"
    (corpus / "qrels").mkdir(parents=True)
    (corpus / "corpus.jsonl").write_text('{"_id": "a", "text": "the sea"}\n')
    (corpus / "queries.jsonl").write_text('{"_id": "1", "text": "sea"}\n')
    (corpus / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n")
    command = [*COMMAND, "index", str(corpus), "--index", str(tmp_path / "index")]
    for told in ("1 judged queries, as the query set my-corpus", ""):
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=True
        )
        assert told in result.stderr
    sets = QuerySets(tmp_path / "index" / "query-sets")
    assert sets.names() == ["judged", "my-corpus"]
    assert sets.read("my-corpus").grades == {"1": {"a": 1}}
    with Index.open(tmp_path / "index", create=False) as opened:
        assert opened.count() == 1
