"""JSON bodies that are nested deeply or never closed."""

from __future__ import annotations

import httpx2
import pytest

from secondpass.server.http_json import _too_deep
from secondpass.server.settings import ServerSettings
from tests.server.conftest import running


@pytest.mark.parametrize(
    "path", ["/v1/rerank", "/search", "/v1/search", "/cloudflare/x/search"]
)
def test_an_unclosed_string_of_escaped_quotes_is_refused_at_once(model: str, path: str) -> None:
    unclosed = b'{"a":"' + b'\\"' * 300_000
    with running(ServerSettings(models=[model])) as found:
        answer = httpx2.post(f"{found.url}{path}", content=unclosed, timeout=20)
        assert answer.status_code in {400, 404}


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b'"}'])
def test_brackets_within_strings_are_no_nesting(end: bytes) -> None:
    assert not _too_deep(b'{"a": "' + b'[\\"{\\\\' * 100 + end, 1)
    assert _too_deep(b'{"a": "' + b'[\\"{' * 100 + b'", "b": [1' + end, 1)
