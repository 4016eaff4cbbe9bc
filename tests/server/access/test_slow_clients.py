"""Slow and oversized requests, on raw sockets."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2
import pytest

from secondpass import InputError
from secondpass.server.settings import ServerSettings
from tests.server.conftest import QUERY, TEXTS, running
from tests.server.load import until

ASK = json.dumps({"query": QUERY, "documents": TEXTS}).encode()


def head(path: str, length: int, more: str = "") -> bytes:
    lines = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n{more}\r\n"
    return lines.encode()


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as found:
        yield found


def everything(connection: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    found = b""
    while True:
        try:
            some = connection.recv(65536)
        except ConnectionResetError:
            return found
        if not some:
            return found
        found += some


def answered(connection: socket.socket) -> bytes:
    """Return one whole answer."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65536)
    headers, _, body = found.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", headers)
    assert length is not None
    while len(body) < int(length.group(1)):
        body += connection.recv(65536)
    return headers


def trickled(connection: socket.socket, byte: bytes) -> bool:
    """Send a byte now and then; return whether that came to an end."""
    end = time.monotonic() + 10
    with suppress(OSError):
        while time.monotonic() < end:
            connection.sendall(byte)
            time.sleep(0.05)
        return False
    return True


@pytest.mark.parametrize("path", ["/v1/rerank", "/tei/rerank", "/score", "/api/v1/rerank"])
def test_a_body_that_does_not_come_is_408_in_the_words_of_its_dialect(
    model: str, path: str
) -> None:
    settings = ServerSettings(models=[model], body_timeout=0.3)
    with running(settings) as found, connected(found.url) as connection:
        connection.sendall(head(path, len(ASK)) + ASK[:10])
        answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive within 0.3 seconds" in answer
        assert found.state.active_requests == 0
        # On a busy machine a whole request may take as long as this one may not.
        until(lambda: httpx2.post(f"{found.url}/v1/rerank", content=ASK).status_code == 200)


def test_a_body_that_trickles_has_no_longer(model: str) -> None:
    settings = ServerSettings(models=[model], body_timeout=0.5)
    with running(settings) as found, connected(found.url) as connection:
        connection.sendall(head("/v1/rerank", 10_000))
        assert trickled(connection, b" ")


@pytest.mark.parametrize("sent", [b"", b"POST /v1/rerank HTTP/1.1\r\n", b"GET / HTT"])
def test_headers_that_do_not_come_end_the_connection(model: str, sent: bytes) -> None:
    settings = ServerSettings(models=[model], header_timeout=0.3)
    with running(settings) as found, connected(found.url) as connection:
        connection.sendall(sent)
        assert everything(connection) == b""


def test_headers_that_trickle_have_no_longer_also_on_a_used_connection(model: str) -> None:
    settings = ServerSettings(models=[model], header_timeout=0.5)
    with running(settings) as found, connected(found.url) as connection:
        connection.sendall(head("/v1/rerank", len(ASK)) + ASK)
        assert answered(connection).startswith(b"HTTP/1.1 200 ")
        assert trickled(connection, b"x")


def test_an_answer_may_take_longer_than_headers_may(model: str) -> None:
    settings = ServerSettings(models=[model], header_timeout=0.05)
    with running(settings) as found:
        body = {"query": QUERY, "documents": ["the river and the sea " * 200] * 60}
        assert httpx2.post(f"{found.url}/v1/rerank", json=body, timeout=60).status_code == 200


def test_the_rest_of_a_refused_body_is_not_waited_for(model: str) -> None:
    settings = ServerSettings(models=[model], max_body=100, header_timeout=0.3)
    with running(settings) as found, connected(found.url) as connection:
        connection.sendall(head("/v1/rerank", 10_000) + b"x" * 200)
        assert everything(connection).startswith(b"HTTP/1.1 413 ")


def test_idle_connections_are_kept_for_a_while_and_no_longer(model: str) -> None:
    settings = ServerSettings(models=[model], keep_alive=1, header_timeout=0.1)
    with running(settings) as found, connected(found.url) as connection:
        for _ in range(2):
            connection.sendall(head("/v1/rerank", len(ASK)) + ASK)
            assert answered(connection).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.4)
        assert everything(connection) == b""


def test_too_many_headers_are_refused(model: str) -> None:
    with running(ServerSettings(models=[model])) as found:
        with connected(found.url) as connection:
            connection.sendall(head("/v1/rerank", len(ASK), f"x: {'y' * 60_000}\r\n") + ASK)
            assert answered(connection).startswith(b"HTTP/1.1 200 ")
        with connected(found.url) as connection:
            connection.sendall(head("/v1/rerank", len(ASK), f"x: {'y' * 200_000}\r\n"))
            answer = everything(connection)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


@pytest.mark.parametrize("name", ["header_timeout", "body_timeout", "keep_alive"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_that_cannot_be(name: str, value: int) -> None:
    with pytest.raises(InputError, match=name):
        ServerSettings(**{name: value})  # type: ignore[arg-type]


def test_a_length_beside_chunks_is_refused_and_the_connection_closed(model: str) -> None:
    chunks = f"{len(ASK):x}\r\n".encode() + ASK + b"\r\n0\r\n\r\n"
    with running(ServerSettings(models=[model])) as found, connected(found.url) as connection:
        chunked = "transfer-encoding: chunked\r\n"
        second = head("/v1/rerank", len(ASK)) + ASK
        connection.sendall(head("/v1/rerank", len(ASK), chunked) + chunks + second)
        answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"not both" in answer
        assert answer.count(b"HTTP/1.1") == 1
