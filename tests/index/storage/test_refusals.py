"""What object storage refuses becomes an error that says what to do, without its secrets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from secondpass import Index
from secondpass.cli.options import open_source
from secondpass.errors import IndexStoreError
from secondpass.index.config_file import Configuration
from secondpass.index.storage.objects import open_objects

pytest.importorskip("obstore", reason="the extra s3 is not installed")

_KEY, _SECRET = "AKIAEXAMPLE", "hush-hush"
_XML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>{code}</Code><Message>The request is signed by {key}</Message>"
    "<RequestId>4442587FB7D0A2F9</RequestId></Error>"
)


class Refusing(ThreadingHTTPServer):
    """A server of S3's kind that refuses all requests, with one status and code."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.code = 403, "AccessDenied"
        self.requests: list[str] = []

    @property
    def options(self) -> dict[str, str]:
        return {
            "aws_endpoint": f"http://127.0.0.1:{self.server_port}",
            "aws_access_key_id": _KEY,
            "aws_secret_access_key": _SECRET,
            "aws_region": "us-east-1",
        }


class _Handler(BaseHTTPRequestHandler):
    server: Refusing

    def _refuse(self) -> None:
        self.server.requests.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = _XML.format(code=self.server.code, key=_KEY).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _refuse  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write nothing."""


@pytest.fixture
def server() -> Iterator[Refusing]:
    with Refusing() as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "what"),
    [
        (403, "AccessDenied", "refused the credentials"),
        (403, "SignatureDoesNotMatch", "refused the credentials"),
        (401, "InvalidAccessKeyId", "refused the credentials"),
        (404, "NoSuchBucket", "there is no bucket 'docs'"),
        (400, "InvalidRequest", r"the object storage failed.*it answered 400 \(InvalidReq"),
    ],
)
def test_a_refusal_says_what_to_do(
    server: Refusing, tmp_path: Path, status: int, code: str, what: str
) -> None:
    server.status, server.code = status, code
    with pytest.raises(IndexStoreError, match=what) as refused:
        Index.open("s3://docs/it", storage_options=server.options, local_folder=tmp_path)
    text = str(refused.value)
    assert refused.value.fix
    assert "s3://docs/it" in text
    assert _SECRET not in text
    assert _KEY not in text
    if code != "NoSuchBucket":
        assert code in text


@pytest.mark.parametrize("status", [401, 403])
def test_every_kind_of_request_says_so(server: Refusing, tmp_path: Path, status: int) -> None:
    server.status = status
    objects = open_objects("s3://docs/it", server.options)
    file = tmp_path / "file"
    file.write_bytes(b"content")
    for call in (
        lambda: objects.get("CURRENT"),
        lambda: objects.put_if("CURRENT", b"{}", None),
        lambda: objects.put_if("CURRENT", b"{}", '|"tag"'),
        lambda: objects.upload("objects/a", file),
        lambda: objects.download("objects/a", file),
        lambda: list(objects.list()),
        lambda: objects.delete(["objects/a"]),
    ):
        with pytest.raises(IndexStoreError, match="refused the credentials"):
            call()


def test_an_endpoint_where_nothing_listens_is_named_as_such(
    server: Refusing, tmp_path: Path
) -> None:
    options = server.options
    server.shutdown()
    server.server_close()
    with pytest.raises(IndexStoreError, match="cannot be reached"):
        Index.open("s3://docs/it", storage_options=options, local_folder=tmp_path)


def test_settings_of_a_configuration_reach_the_storage(
    server: Refusing, tmp_path: Path
) -> None:
    file = tmp_path / "search.toml"
    source = {"index": "s3://docs/it"}
    Configuration({}, source=source, storage=server.options).write(file)
    with pytest.raises(IndexStoreError, match="refused the credentials"):
        open_source(None, None, file)
    assert server.requests[0].startswith("/docs/it/CURRENT")
