"""The processes that `faults.py` starts, and what it does to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from server_process import free_port


def replicas(shard: int) -> list[int]:
    """Return the processes of a shard that this process's cluster runs."""
    name, own = f"ServeReplica:secondpass:shard-{shard}", []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_text()
            variables = (folder / "environ").read_bytes()
        except OSError:
            continue
        if name in title and os.environ["RAY_AUTH_TOKEN"].encode() in variables:
            own.append(int(folder.name))
    return own


@contextmanager
def object_storage(work: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start moto, and name it to this process and to those that it starts."""
    port = free_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(work / "cache"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "PYTHONPATH": str(Path(sys.prefix) / "moto")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ends = time.monotonic() + 120
        while True:
            request = urllib.request.Request(
                f"{os.environ['AWS_ENDPOINT_URL']}/bucket", method="PUT"
            )
            try:
                urllib.request.urlopen(request, timeout=10).close()
                break
            except OSError:
                if time.monotonic() > ends or process.poll() is not None:
                    raise
                time.sleep(0.2)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def stop_for(seconds: float, processes: list[int]) -> None:
    """Stop processes, and let them go on later; those that were replaced are left."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    time.sleep(seconds)
    for process in processes:
        try:
            os.kill(process, signal.SIGCONT)
        except ProcessLookupError:
            continue


class Redis:
    """Debian's redis-server, without files, at a port that it keeps."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process = self._start()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def kill_for(self, seconds: float) -> None:
        """Kill it, and start an empty one later."""
        self.kill()
        time.sleep(seconds)
        self.process = self._start()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def keys(self) -> int:
        """Return how many keys it has."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"DBSIZE\r\n")
            return int(connection.recv(64).strip().lstrip(b":"))

    def _start(self) -> subprocess.Popen[bytes]:
        binary = shutil.which("redis-server")
        if binary is None:
            sys.exit("redis-server is not installed (Debian: apt install redis-server)")
        process = subprocess.Popen(
            [
                *(binary, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return process
            time.sleep(0.02)
        process.kill()
        raise TimeoutError("redis-server does not listen")


def add(work: Path, place: str, documents: list[dict[str, str]]) -> None:
    """Add documents to the index, by the command that a user has."""
    file = work / f"{documents[0]['id']}.jsonl"
    file.write_text("".join(json.dumps(document) + "\n" for document in documents))
    command = [sys.executable, "-m", "secondpass", "index", str(file), "--index", place]
    subprocess.run(command, check=True, capture_output=True)


UNASKED = "No query here asks for this."
AT_ONCE = 5
_WRITE = f"""
import sys
from secondpass import Index
place, folder, name, most = sys.argv[1:]
with Index.open(place, create=False, local_folder=folder) as index:
    print("open", flush=True)
    sys.stdin.readline()
    for i in range(int(most)):
        index.add(
            [{{"id": f"{{name}}-{{i}}-{{j}}", "text": {UNASKED!r}}} for j in range({AT_ONCE})]
        )
        print(i, flush=True)
"""


_KEPT = f"""
import itertools, json, sys
from secondpass import Index
place, folder, *names = sys.argv[1:]
kept = {{}}
with Index.open(place, create=False, local_folder=folder) as index:
    for name in names:
        counts = (
            len(index.store.lookup([f"{{name}}-{{i}}-{{j}}" for j in range({AT_ONCE})]))
            for i in itertools.count()
        )
        kept[name] = list(itertools.takewhile(bool, counts))
print(json.dumps(kept))
"""


class Writer:
    """A process that adds documents to an index, a few at a time, and says what it has added.

    `batches`: how many times. It has opened the index, and begins with `go`.
    """

    def __init__(self, place: str, work: Path, name: str, batches: int) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WRITE, place, str(work / name), name, str(batches)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.read()

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def read(self) -> str:
        """Wait for what it says next: the number of an acknowledged batch."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the writer {self.name} ended")
        return line.strip()

    def kill(self) -> int:
        """Kill it, and return how many batches it had acknowledged."""
        self.process.kill()
        rest, _ = self.process.communicate()
        return len(rest.split())


def batches_kept(place: str, work: Path, names: Sequence[str]) -> dict[str, list[int]]:
    """Return how many documents of each batch of each writer are stored, until one has none."""
    # In a process of its own: lancedb should not be there where Ray forks this one.
    found = subprocess.run(
        [sys.executable, "-c", _KEPT, place, str(work / "reader"), *names],
        check=True,
        stdout=subprocess.PIPE,
    )
    kept: dict[str, list[int]] = json.loads(found.stdout)
    return kept
