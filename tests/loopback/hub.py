"""The part of the Hugging Face Hub's HTTP that its client uses, on loopback."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

LARGE = (".safetensors", ".onnx", ".bin")
"""What is stored with Git LFS, so that the Hub publishes its SHA-256."""


@dataclass
class Repository:
    """Folders by commit, commits by branch; `token` is needed for the files if it is set."""

    commits: dict[str, Path]
    branches: dict[str, str]
    token: str | None = None
    private: bool = False

    def commit(self, revision: str) -> str | None:
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class Request:
    """A request as it came: `range` is its header, "" without one."""

    method: str
    path: str
    range: str
    authorization: str


@dataclass
class Faults:
    """What goes wrong: names of files in a list that there are not, and cut connections."""

    extra_names: list[str] = field(default_factory=list)
    cut_after: int | None = None
    cuts: int = 1_000
    ignore_ranges: bool = False
    status: int | None = None


class Hub(ThreadingHTTPServer):
    """Serves repositories: /api/models/…, and /…/resolve/… with ETag and ranges.

    With `content_url` the content of large files is at another address, as on the real one.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.faults = Faults()
        self.cut = threading.Semaphore(0)
        self.content_url: str | None = None
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, name: str, commit: str, folder: Path) -> Repository:
        """Add a repository with one commit, on its branch main."""
        self.repositories[name] = Repository({commit: folder}, {"main": commit})
        return self.repositories[name]

    def downloads(self) -> list[str]:
        """Return the names of the files whose content was asked for, in order."""
        paths = [r.path for r in self.requests if r.method == "GET" and "/resolve/" in r.path]
        return [path.split("/resolve/")[1].split("/", 1)[1] for path in paths]


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(
            self.command, url.path, headers.get("range", ""), headers.get("authorization", "")
        )
        self.server.requests.append(request)
        if self.server.faults.status is not None:
            return self._send(self.server.faults.status, {})
        if url.path.startswith("/api/models/"):
            return self._describe(request, blobs="blobs" in parse_qs(url.query))
        return self._resolve(request, body=body)

    def _describe(self, request: Request, *, blobs: bool) -> None:
        name, _, revision = request.path.removeprefix("/api/models/").partition("/revision/")
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not _allowed(repository, request)):
            return self._send(401, {"X-Error-Code": "RepoNotFound"})
        commit = repository.commit(unquote(revision) or "main")
        if commit is None:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        folder = repository.commits[commit]
        siblings: list[dict[str, Any]] = []
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            entry: dict[str, Any] = {"rfilename": file.relative_to(folder).as_posix()}
            if blobs:
                data = file.read_bytes()
                entry |= {"size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
                if file.name.endswith(LARGE):
                    sha256 = hashlib.sha256(data).hexdigest()
                    entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        siblings += [{"rfilename": extra} for extra in self.server.faults.extra_names]
        info = {"id": name, "sha": commit, "siblings": siblings, "tags": [], "downloads": 0}
        return self._send(200, {"Content-Type": "application/json"}, json.dumps(info).encode())

    def _resolve(self, request: Request, *, body: bool) -> None:
        name, _, rest = request.path.lstrip("/").partition("/resolve/")
        revision, _, file_name = rest.partition("/")
        repository = self.server.repositories.get(name)
        if repository is None:
            return self._send(404, {"X-Error-Code": "RepoNotFound"})
        if not _allowed(repository, request):
            return self._send(401, {"X-Error-Code": "GatedRepo"})
        commit = repository.commit(unquote(revision))
        if commit is None:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        file = repository.commits[commit] / unquote(file_name)
        if not file.is_file():
            missing = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
            return self._send(404, missing)
        data = file.read_bytes()
        sha256 = file.name.endswith(LARGE)
        etag = (hashlib.sha256 if sha256 else hashlib.sha1)(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if sha256 and self.server.content_url is not None:
            headers |= {"X-Linked-Etag": headers.pop("ETag"), "X-Linked-Size": str(len(data))}
            headers["Location"] = self.server.content_url + request.path
            return self._send(302, headers)
        status, start = 200, 0
        if request.range and not self.server.faults.ignore_ranges:
            start = int(request.range.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status = 206
        return self._send(status, headers, data[start:], body=body, cut=sha256)

    def _send(
        self,
        status: int,
        headers: Mapping[str, str],
        data: bytes = b"",
        *,
        body: bool = True,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not body:
            return
        faults = self.server.faults
        if cut and faults.cut_after is not None and faults.cuts > 0:
            faults.cuts -= 1
            self.wfile.write(data[: faults.cut_after])
            self.wfile.flush()
            self.close_connection = True
            self.server.cut.release()
            return
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output quiet."""


def _allowed(repository: Repository, request: Request) -> bool:
    return repository.token is None or request.authorization == f"Bearer {repository.token}"


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Start a hub on a free port, and stop it."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def use_hub(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the Hub's client in this process at a server, with a cache of its own.

    The client reads the environment when it is imported, so its constants are replaced.
    """
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HOME", str(home))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for variable in ("HF_TOKEN", "SECONDPASS_MODELS_LOCK", "SECONDPASS_REQUIRE_REVISION"):
        monkeypatch.delenv(variable, raising=False)
