"""Web pages that try to use a server on the machine of whoever looks at them."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.conftest import QUERY, TEXTS, keyed, serving

ASK = {"query": QUERY, "documents": TEXTS}
EVIL = [
    ({"host": "evil.example"}, 421),
    ({"host": "evil.example:8080"}, 421),
    ({"host": "127.0.0.1.evil.example"}, 421),
    ({"host": "[::1"}, 421),
    ({"origin": "https://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://127.0.0.1.evil.example"}, 403),
    ({"origin": "http://[bad"}, 403),
]
GOOD = [
    {"host": "localhost:1"},
    {"host": "127.0.0.1"},
    {"host": "[::1]:80"},
    {"origin": "http://localhost:3000"},
    {"origin": "http://127.0.0.1"},
]


def test_without_keys_pages_of_other_sites_are_refused(tmp_path: Path, model: str) -> None:
    with serving(ServerSettings(models=[model], data=tmp_path)) as url:
        for path, body in (
            ("/v1/rerank", ASK),
            ("/api/v1/indexes", {"name": "x"}),
            ("/mcp", {}),
        ):
            for headers, status in EVIL:
                refused = httpx2.post(url + path, json=body, headers=headers)
                assert (refused.status_code, path, headers) == (status, path, headers)
                assert refused.json()["message"]
        assert not list(tmp_path.iterdir())
        for headers in GOOD:
            found = httpx2.post(f"{url}/v1/rerank", json=ASK, headers=headers)
            assert found.status_code == 200


@pytest.mark.parametrize("headers", [headers for headers, _ in EVIL[:2] + EVIL[4:6]])
def test_with_keys_a_name_does_not_matter(
    tmp_path: Path, model: str, headers: dict[str, str]
) -> None:
    key = KeyFile(tmp_path / "keys.json").create("box", ["rerank"])
    with serving(keyed(tmp_path, model)) as url:
        headers = {**headers, "authorization": f"Bearer {key}"}
        assert httpx2.post(f"{url}/v1/rerank", json=ASK, headers=headers).status_code == 200
