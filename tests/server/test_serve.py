"""What `secondpass serve` refuses before it starts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from secondpass import InputError, ModelNotFoundError
from secondpass.server.serve import run
from secondpass.server.settings import ServerSettings


def test_a_file_of_keys_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="secondpass keys create NAME --keys"):
        run(ServerSettings(keys=tmp_path / "missing.json"))


def test_a_folder_for_data_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for data in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(InputError, match="folder of --data cannot be used") as raised:
            run(ServerSettings(data=data))
        assert raised.value.where == str(data)


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="/sys is Linux's")
def test_a_folder_for_data_that_is_not_writable_is_told(
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Ends at the model; nobody, not even root, can make a file in /sys.
    with pytest.raises(ModelNotFoundError):
        run(ServerSettings(models=["none-such"], data=Path("/sys/kernel")), log="text")
    told = capfd.readouterr().err
    assert "nothing can be written to the folder of --data" in told
    assert "data=/sys/kernel" in told


def test_a_stopped_server_ends_also_where_a_worker_is_busy(model: str, tmp_path: Path) -> None:
    # A language model that takes the request and never answers.
    silent = socket.create_server(("127.0.0.1", 0))
    silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
    command = [sys.executable, "-m", "secondpass", "serve", "--model", model, "--port", "0"]
    options = ["--data", str(tmp_path), "--llm", "openai/m", "--drain", "1", "--timeout", "90"]
    environment = {**os.environ, "OPENAI_BASE_URL": silent_url, "OPENAI_API_KEY": "k"}
    with subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr)
            found = next(
                filter(None, map(re.compile(r"http://127\.0\.0\.1:\d+").search, lines))
            )
            api = f"{found.group()}/api/v1/indexes"
            httpx2.post(api, json={"name": "docs"}, timeout=30)
            documents = [{"id": "a", "text": "The river meets the sea."}]
            httpx2.post(f"{api}/docs/documents", json={"documents": documents}, timeout=60)
            question = {"query": "the river and the sea", "min_probability": None}
            silent.settimeout(30)
            with ThreadPoolExecutor(1) as threads:
                asked = threads.submit(
                    httpx2.post, f"{api}/docs/answer", json=question, timeout=60
                )
                connection, _ = silent.accept()
                with connection:
                    assert not asked.done()
                    process.send_signal(signal.SIGTERM)
                    process.wait(30)
        finally:
            process.kill()
            silent.close()
