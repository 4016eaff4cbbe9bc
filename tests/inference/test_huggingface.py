"""Loading by name and revision with the real hub client against a hub on loopback."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from secondpass.errors import ModelError, ModelNotFoundError
from secondpass.inference.huggingface import download, list_cached
from secondpass.registry import load_reranker
from tests.tiny_models import tiny_cross_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves the files of one repository at one commit, as the hub's resolve paths do."""

    daemon_threads = True

    def __init__(self, files: Path) -> None:
        self.files = files
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        prefix = f"/tiny/ranker/resolve/{COMMIT}/"
        self.server.asked.append(self.path)
        if not self.path.startswith(prefix):
            return self._missing(
                "RevisionNotFound" if "/ranker/" in self.path else "RepoNotFound"
            )
        file = self.server.files / self.path.removeprefix(prefix)
        if not file.is_file():
            return self._missing("EntryNotFound")
        data = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)
        return None

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    import huggingface_hub.constants as constants

    files = tmp_path / "repository"
    tiny_cross_encoder(files)
    (files / "README.md").write_text("not needed")
    with Hub(files) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            server.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_model_by_name_and_revision(hub: Hub) -> None:
    reranker = load_reranker(f"tiny/ranker@{COMMIT}")
    assert reranker.rerank("how do i", ["change my password", "bread"]).results
    fetched = {path.rsplit("/", 1)[1] for path in hub.asked}
    assert "model.safetensors" in fetched
    assert "README.md" not in fetched
    asked = len(hub.asked)
    assert load_reranker("tiny/ranker", revision=COMMIT).model == "tiny/ranker"
    downloads = [p for p in hub.asked[asked:] if p.endswith(".safetensors")]
    assert downloads == []


def test_the_onnx_graph_is_preferred(hub: Hub) -> None:
    (hub.files / "onnx").mkdir()
    (hub.files / "onnx" / "model.onnx").write_bytes(b"graph")
    folder = download("tiny/ranker", COMMIT)
    assert (folder / "onnx" / "model.onnx").read_bytes() == b"graph"
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize("revision", ["", "main", "v1.0", COMMIT[:12]])
def test_a_revision_that_can_move_is_refused(hub: Hub, revision: str) -> None:
    with pytest.raises(ModelError, match="exact revision"):
        download("tiny/ranker", revision)
    assert hub.asked == []


def test_what_is_not_there_is_named(hub: Hub) -> None:
    with pytest.raises(ModelNotFoundError, match="'tiny/other'"):
        download("tiny/other", COMMIT)
    with pytest.raises(ModelNotFoundError, match="at that revision"):
        download("tiny/ranker", COMMIT[::-1])
    (hub.files / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="neither"):
        download("tiny/ranker", COMMIT)


def test_without_a_network_the_cache_is_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    download("tiny/ranker", COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    assert (download("tiny/ranker", COMMIT) / "model.safetensors").exists()
    assert len(hub.asked) == asked
    with pytest.raises(ModelError, match="cannot be downloaded"):
        download("tiny/other", COMMIT)
    assert [name for name, _, _ in list_cached()] in ([], [f"tiny/ranker@{COMMIT}"])


def test_a_name_that_is_nothing_gets_the_nearest() -> None:
    with pytest.raises(ModelNotFoundError, match="Did you mean 'bundled'"):
        load_reranker("bundeld")
