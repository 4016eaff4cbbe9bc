"""The page: its files, their headers, and the reports of its content security policy."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.request_handler import RequestHandler
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState
from secondpass.server.web.routes import STATIC, WebRoutes, is_built, read_assets
from tests.server.conftest import keyed, running, serving
from tests.server.logged import logged


@pytest.fixture(scope="module")
def page(model: str) -> Iterator[httpx2.Client]:
    with (
        serving(ServerSettings(models=[model])) as url,
        httpx2.Client(base_url=url, timeout=30) as client,
    ):
        yield client


def test_the_page_is_served_under_a_strict_policy(page: httpx2.Client) -> None:
    response = page.get("/ui")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == (STATIC / "index.html").read_text("utf-8")
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"
    policy = dict(
        part.split(" ", 1) for part in response.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["report-uri"] == "/ui/csp-report"
    assert not re.search("unsafe|https?:|\\*", response.headers["content-security-policy"])


def test_a_slash_at_the_end_is_the_same_page(page: httpx2.Client) -> None:
    assert page.get("/ui/").text == page.get("/ui").text


def test_assets_are_cached_for_good_and_named_by_their_content(page: httpx2.Client) -> None:
    names = re.findall(r'(?:src|href)="(/ui/[^"]+)"', page.get("/ui").text)
    assert any(name.endswith(".js") for name in names)
    for name in names:
        response = page.get(name)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert re.search(r"-[A-Za-z0-9_-]{8}\.\w+$", name)
        kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        assert response.headers["content-type"].startswith(kind[name.rpartition(".")[2]])


def test_the_built_page_is_small_and_has_nothing_inline() -> None:
    assert is_built()
    assets = read_assets(STATIC)
    size = sum(len(gzip.compress(asset.content, mtime=0)) for asset in assets.values())
    assert size <= 200_000
    html = assets["index.html"].content.decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)
    assert not re.search(r'(?:src|href)="(?!/ui/)', html)


def test_what_did_not_change_is_not_sent_again(page: httpx2.Client) -> None:
    first = page.get("/ui")
    again = page.get("/ui", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_files_are_compressed_for_clients_that_can_read_it(page: httpx2.Client) -> None:
    plain = page.get("/ui", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = page.get("/ui", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert packed.text == plain.text


@pytest.mark.parametrize(
    "path",
    ["/ui/assets/none.js", "/ui/assets/../index.html", "/ui/assets/%2e%2e/routes.py", "/ui/x"],
)
def test_other_paths_are_not_found(page: httpx2.Client, path: str) -> None:
    assert page.get(path).status_code == 404


async def test_an_installation_without_the_page_says_what_to_do(
    model: str, tmp_path: Path
) -> None:
    handler = RequestHandler(ServerState(ServerSettings(models=[model])), None)
    app = Starlette(routes=WebRoutes(handler, tmp_path).routes())
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        response = await client.get("/ui")
    assert response.status_code == 501
    assert "make ui" in response.json()["message"]
    assert not is_built(tmp_path)


def test_the_page_needs_no_key_and_what_it_shows_does(tmp_path: Path, model: str) -> None:
    KeyFile(tmp_path / "keys.json").create("one", ["search"])
    with running(keyed(tmp_path, model)) as found:
        assert httpx2.get(f"{found.url}/ui", timeout=30).status_code == 200
        refused = httpx2.get(f"{found.url}/api/v1/capabilities", timeout=30)
        assert refused.status_code == 401


def test_pages_of_other_sites_cannot_use_a_server_without_keys(page: httpx2.Client) -> None:
    other = {"origin": "https://example.com"}
    assert page.get("/api/v1/capabilities", headers=other).status_code == 403
    assert page.get("/ui", headers={"host": "example.com"}).status_code == 421


REPORT = {"csp-report": {"violated-directive": "script-src", "blocked-uri": "inline"}}


def test_a_violation_of_the_policy_is_logged_once(model: str) -> None:
    with logged() as log, serving(ServerSettings(models=[model])) as url:
        for _ in range(3):
            assert httpx2.post(f"{url}/ui/csp-report", json=REPORT).status_code == 204
    messages = [line for line in log.lines if "content security policy" in line["message"]]
    assert len(messages) == 1
    assert (messages[0]["directive"], messages[0]["blocked"]) == ("script-src", "inline")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"csp-report": 1}', 400),
        (b"[" * 5000, 400),
        (b" " * 20_000, 413),
    ],
)
def test_what_is_no_report_is_refused(page: httpx2.Client, content: bytes, status: int) -> None:
    assert page.post("/ui/csp-report", content=content).status_code == status


def test_with_keys_reports_are_neither_read_nor_logged(tmp_path: Path, model: str) -> None:
    KeyFile(tmp_path / "keys.json").create("one", ["search"])
    with running(keyed(tmp_path, model)) as found:
        response = httpx2.post(f"{found.url}/ui/csp-report", content=b"no report", timeout=30)
        assert response.status_code == 204
