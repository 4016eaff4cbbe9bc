"""Keys: made, checked, revoked, and never seen again."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx2
import pytest

from secondpass import InputError
from secondpass.errors import ReadError
from secondpass.server.access.api_keys import KeyFile, key_in
from secondpass.server.http_errors import HttpError
from secondpass.server.settings import ServerSettings
from tests.server.conftest import QUERY, TEXTS, keyed, serving

ASK = {"query": QUERY, "documents": TEXTS}


def status(keys: KeyFile, given: str | None, scope: str = "rerank") -> int:
    try:
        headers = {} if given is None else {"authorization": given}
        keys.find(key_in(headers)).allow(scope)
    except HttpError as problem:
        return problem.status
    return 200


def test_a_key_is_stored_as_a_hash_and_checked(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.create("box", ["rerank"])
    stored = (tmp_path / "keys.json").read_text("utf-8")
    assert key.split("-", 2)[2] not in stored
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert status(keys, f"Bearer {key}") == status(keys, f"bearer  {key} ") == 200
    assert status(keys, f"Bearer {key}", "admin") == 403
    number = key.split("-")[1]
    wrong = [None, "", key, f"Basic {key}", f"Bearer {key}x", "Bearer", "Bearer a-b",
             f"Bearer sp-{number}-", "Bearer sp--", "Bearer \ud800-\ud800-\ud800"]  # fmt: skip
    for given in wrong:
        assert status(keys, given) == 401
    admin = keys.create("boss", ["admin"])
    assert status(keys, f"Bearer {admin}") == 200
    keys.revoke(number)
    assert status(keys, f"Bearer {key}") == 401
    assert [entry.name for entry in keys.entries()] == ["boss"]


def test_another_process_sees_new_keys(tmp_path: Path) -> None:
    one, other = KeyFile(tmp_path / "k"), KeyFile(tmp_path / "k")
    assert other.entries() == []
    key = one.create("a", ["rerank"])
    assert [e.name for e in other.entries()] == ["a"]
    assert status(other, f"Bearer {key}") == 200


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 9}', '{"format": 1}',
                                  '{"format": 1, "keys": [{"id": 1}]}'])  # fmt: skip
def test_a_damaged_file_is_named_and_lets_nobody_in(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(ReadError, match=r"keys\.json"):
        KeyFile(file).entries()
    assert file.read_text() == text


def test_what_a_key_cannot_be(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "k")
    with pytest.raises(InputError, match="Did you mean 'rerank'"):
        keys.create("a", ["rerunk"])
    with pytest.raises(InputError, match="needs a name"):
        keys.create(" ", ["rerank"])
    with pytest.raises(InputError, match="There is no key"):
        keys.revoke("nobody")


def test_a_server_with_keys_asks_for_one(tmp_path: Path, model: str) -> None:
    settings = keyed(tmp_path, model)
    key = KeyFile(tmp_path / "keys.json").create("box", ["rerank"])
    with serving(settings) as url, httpx2.Client(base_url=url) as http:
        for path, body in (
            ("/v1/rerank", ASK),
            ("/rerank", {"query": "q", "texts": ["a"]}),
            ("/rerank", {**ASK, "property": ""}),
            ("/score", {"text_1": "a", "text_2": "b"}),
            ("/api/v1/rerank", ASK),
            ("/v1/reranking", {"query": "q", "input": ["a"]}),
        ):
            refused = http.post(path, json=body)
            assert refused.status_code == 401, path
            assert refused.headers["www-authenticate"] == "Bearer"
            good = http.post(path, json=body, headers={"authorization": f"Bearer {key}"})
            assert good.status_code == 200, path
            assert key not in refused.text
        wrong = http.post("/api/v1/rerank", json={"query": 1})
        assert wrong.status_code == 401
        assert http.get("/v1/models").status_code == 401
        assert http.get("/api/v1/models").status_code == 401
        assert http.get("/health").status_code == http.get("/ready").status_code == 200


def test_weaviate_is_let_in_without_a_key_only_where_that_was_said(
    tmp_path: Path, model: str
) -> None:
    KeyFile(tmp_path / "keys.json").create("box", ["rerank"])
    with serving(keyed(tmp_path, model, weaviate_open=True)) as url:
        weaviate = {**ASK, "property": ""}
        assert httpx2.post(f"{url}/rerank", json=weaviate).status_code == 200
        assert httpx2.post(f"{url}/rerank", json=ASK).status_code == 401
        assert httpx2.post(f"{url}/v1/rerank", json=ASK).status_code == 401


def test_no_keys_no_other_machines() -> None:
    with pytest.raises(InputError, match="secondpass keys create"):
        ServerSettings(host="0.0.0.0")
    assert ServerSettings(host="::1").port == 8080
    assert ServerSettings(host="0.0.0.0", keys=Path("keys.json")).host == "0.0.0.0"


@pytest.mark.parametrize(
    "wrong",
    [{"models": ()}, {"port": 70_000}, {"max_documents": 0}, {"timeout": 0}, {"drain": -1}],
)
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        ServerSettings(**wrong)  # type: ignore[arg-type]
