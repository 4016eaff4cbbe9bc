"""JSON bodies that are nested deeply or never closed."""

from __future__ import annotations

import json

import httpx2
import pytest

from secondpass.server.http_errors import HttpError
from secondpass.server.http_json import MAX_JSON_PARTS, _check_structure
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
    _check_structure(b'{"a": "' + b'[\\"{\\\\' * 100 + end, 1)
    with pytest.raises(HttpError, match="nested deeper than 1"):
        _check_structure(b'{"a": "' + b'[\\"{' * 100 + b'", "b": [1' + end, 1)


@pytest.mark.parametrize("part", [b"[],", b'"",', b"{},"])
def test_a_body_of_very_many_small_parts_is_refused(part: bytes) -> None:
    few = b"[" + part * (MAX_JSON_PARTS // 4) + b"0]"
    _check_structure(few, 9)
    with pytest.raises(HttpError, match="more than 1,000,000 brackets and strings") as caught:
        _check_structure(b"[" + part * (MAX_JSON_PARTS + 1) + b"0]", 9)
    assert caught.value.status == 413


PRICELESS = '"price": null'
DOCUMENTS = {
    "/v1/rerank": "documents",
    "/jina/v1/rerank": "documents",
    "/mixedbread/v1/reranking": "input",
    "/infinity/rerank": "documents",
    "/cohere/v1/rerank": "documents",
}


@pytest.mark.parametrize("path", DOCUMENTS)
def test_numbers_that_json_does_not_have_are_sent_back_as_null(model: str, path: str) -> None:
    def post(number: str) -> httpx2.Response:
        document = f'{{"text": "the sea", "price": {number}}}'
        body = (
            f'{{"query": "sea", "return_documents": true, "{DOCUMENTS[path]}": [{document}]}}'
        )
        return httpx2.post(f"{found.url}{path}", content=body, timeout=20)

    with running(ServerSettings(models=[model])) as found:
        for number in ("NaN", "Infinity", "-Infinity", "1e999"):
            answer = post(number)
            assert answer.status_code == 200
            sent_back = json.loads(answer.text, parse_constant=pytest.fail)
            assert PRICELESS in json.dumps(sent_back) or "price" not in answer.text
