"""The page in Chromium, on a real server with a small index."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from secondpass.server.settings import ServerSettings
from tests.server.conftest import Running, running

pytest.importorskip("playwright", reason="Playwright is not installed")

from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    expect,
    sync_playwright,
)

# A busy machine is no failure of the page.
expect.set_options(timeout=30_000)

REPOSITORY = Path(__file__).parents[2]
CHROMIUM = os.environ.get("SECONDPASS_CHROMIUM") or shutil.which("chromium")
AXE = REPOSITORY / ".venv" / "node" / "node_modules" / "axe-core" / "axe.min.js"
ARTICLES = ("black-death", "nikola-tesla", "amazon-rainforest", "steam-engine")
HOSTILE = {
    "script": "Zyxomma <script>window.hacked = 1</script> is a dragonfly </p></div>",
    "image": 'Zyxomma <img src=x onerror="window.hacked = 2"> rests on reeds.',
    "svg": "Zyxomma <svg><animate onbegin='window.hacked=3' attributeName=x dur=1s></svg>.",
    "link": "Zyxomma [here](javascript:window.hacked=4) <a href='javascript:hacked=5'>x</a>",
    "template": "Zyxomma {{constructor.constructor('hacked=6')()}} ${hacked=7} {@html 'x'}",
    "right-to-left": "Zyxomma \u202e\u05d8\u05e7\u05e1\u05d8\u202c and \u05e2\u05d1\u05e8.",
    "zero-width": "Zyx\u200bomma zyxomma has zero\u200b\u200d\ufeff width \u00ad characters.",
    "entities": "Zyxomma &lt;b&gt; &amp; &#x3c;script&#x3e; stays as written.",
}
"""Texts that a page must show as they are, by the id of their document."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        skip = pytest.mark.skip(reason="Chromium is not installed")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


@dataclass
class Site:
    """A server with the page, and the folder of its index."""

    found: Running
    index: Path

    @property
    def url(self) -> str:
        return f"{self.found.url}/ui"

    def asked(self, path: str, body: Any = None) -> Any:
        import httpx2

        method = "GET" if body is None else "POST"
        response = httpx2.request(
            method, f"{self.found.url}/api/v1{path}", json=body, timeout=60
        )
        assert response.status_code < 300, response.text
        return response.json()


def make_index(folder: Path) -> None:
    """Index a few articles of the sample and hostile texts, with the judged questions."""
    from secondpass import Document, Index
    from secondpass.evaluate.qrels import read_qrels
    from secondpass.evaluate.queries import read_queries
    from secondpass.evaluate.query_sets import FOLDER, QuerySet, QuerySets

    sample = REPOSITORY / "examples" / "wikipedia"
    rows = map(json.loads, (sample / "corpus.jsonl").read_text("utf-8").splitlines())
    kept = [row for row in rows if row["_id"].rpartition("-")[0] in ARTICLES][:90]
    with Index.open(folder) as index:
        index.add(
            Document(row["text"], row["_id"], row["title"], {"number": number})
            for number, row in enumerate(kept)
        )
        index.add(
            Document(
                text, f"hostile-{name}", f"Title of <b>{name}</b>", {"note": f"<i>{name}</i>"}
            )
            for name, text in HOSTILE.items()
        )
    ids = {row["_id"] for row in kept}
    grades = read_qrels(sample / "qrels" / "test.tsv").grades
    judged = {q: g for q, g in grades.items() if ids.issuperset(g)}
    texts = read_queries(sample)
    queries = {q: texts[q] for q in judged}
    QuerySets(folder / FOLDER).write(QuerySet("sample", queries, judged))


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    make_index(folder / "sample")
    settings = ServerSettings(
        models=["bundled", "bundled-tiny"],
        indexes={"sample": folder / "sample"},
        data=folder / "data",
        timeout=120,
    )
    with running(settings) as found:
        yield Site(found, folder / "sample")


# Not of the session: while Playwright runs, no test of another module can run an event loop.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page with all that must not happen on it, checked at the end of a test."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of searches, in order."""
    expected: str | None = None
    """A part of console messages that a test provokes, such as a status."""

    def check(self) -> None:
        errors = [e for e in self.errors if self.expected is None or self.expected not in e]
        assert errors == []
        assert self.elsewhere == []
        assert self.reports == []
        assert self.page.evaluate("window.violations") == []
        assert self.page.evaluate("window.hacked") is None

    def on_request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.elsewhere.append(request.url)
        if request.url.endswith("/csp-report"):
            self.reports.append(request.post_data or "")
        if request.url.endswith("/search") and request.method == "POST":
            self.bodies.append(request.post_data_json)

    # Short forms, as the tests use little else.

    def get(self, test_id: str) -> Any:
        return self.page.get_by_test_id(test_id)

    def ask(self, query: str) -> None:
        """Type a question and wait until its results are drawn."""
        with self.page.expect_response(
            lambda r: (
                r.url.endswith("/search") and r.request.post_data_json.get("query") == query
            )
        ):
            self.get("query").fill(query)
        self.settle()

    def settle(self) -> None:
        """Wait until every answer has come and is drawn."""
        self.page.wait_for_load_state("networkidle")
        button = self.get("search-button")
        if button.count():
            expect(button).to_have_attribute("aria-busy", "false", timeout=60_000)

    def ids(self, column: str) -> list[str]:
        rows = self.get(column).get_by_test_id("result")
        return [row.get_attribute("data-id") for row in rows.all()]


def watch(context: BrowserContext, origin: str) -> Watched:
    page = context.new_page()
    watched = Watched(page, origin)
    page.add_init_script(
        "window.violations = []; document.addEventListener('securitypolicyviolation',"
        " e => window.violations.push(e.violatedDirective + ' ' + e.blockedURI));"
    )
    page.on(
        "console", lambda m: m.type in ("error", "warning") and watched.errors.append(m.text)
    )
    page.on("pageerror", lambda error: watched.errors.append(str(error)))
    page.on("request", watched.on_request)
    return watched


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, accept_downloads=True
    )
    context.set_default_timeout(120_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, site: Site) -> Iterator[Watched]:
    watched = watch(context, site.found.url)
    # Without a question in the link, the page begins with an example that has settings.
    watched.page.goto(f"{site.url}#q=Tesla")
    watched.get("after-list").wait_for()
    watched.settle()
    yield watched
    watched.check()
