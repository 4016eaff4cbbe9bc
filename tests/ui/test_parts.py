"""The other parts of the page: pasted texts, query sets, answers, indexes, exports, keys."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from secondpass.llm import LLM, Completion, Prompt, Stop, TextStream
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.conftest import running
from tests.ui.conftest import HOSTILE, Site, Watched, watch

QUESTION = "When did the Black Death reach Europe?"
TEXTS = [
    "Bread needs flour and water.",
    "The river meets the sea at Newcastle.",
    "A slow ship.",
]


def test_texts_that_are_pasted_are_ranked(page: Watched) -> None:
    page.get("tab-paste").click()
    page.get("paste-query").fill("Where does the river meet the sea?")
    page.get("paste-texts").fill("\n\n".join(TEXTS))
    with page.page.expect_response(lambda r: r.url.endswith("/rerank")) as answered:
        page.get("paste-run").click()
    ranked = answered.value.json()["results"]
    expect(page.get("after-list").get_by_test_id("result").first).to_contain_text("river")
    assert TEXTS[ranked[0]["index"]] == TEXTS[1]
    assert len(page.ids("before-list")) == 3
    # What is pasted is not part of a link that others see.
    assert "flour" not in page.page.url


def test_files_of_texts_are_dropped(page: Watched, tmp_path: Path) -> None:
    page.get("tab-paste").click()
    page.get("paste-query").fill("the sea")
    rows = "".join(json.dumps({"text": text}) + "\n" for text in [*TEXTS, HOSTILE["script"]])
    file = tmp_path / "texts.jsonl"
    file.write_text(rows, "utf-8")
    page.get("paste-drop").locator("input").set_input_files(file)
    expect(page.get("paste-run")).to_contain_text("4 texts")
    page.get("paste-texts").fill("")
    # As a mouse drops it.
    drop = page.page.evaluate_handle(
        "rows => { const d = new DataTransfer();"
        " d.items.add(new File([rows], 'texts.jsonl', {})); return d; }",
        rows,
    )
    page.get("paste-drop").dispatch_event("drop", {"dataTransfer": drop})
    expect(page.get("paste-run")).to_contain_text("4 texts")
    page.get("paste-run").click()
    expect(page.get("after-list").get_by_test_id("result")).to_have_count(4)


def test_a_query_set_gives_a_verdict_and_opens_its_queries(page: Watched, site: Site) -> None:
    queries = site.asked("/indexes/sample/query-sets/sample")["queries"]
    page.get("tab-queries").click()
    page.get("set-select").select_option("sample")
    page.get("set-run").click()
    expect(page.get("set-verdict")).to_be_visible(timeout=60_000)
    expect(page.get("set-progress")).to_have_attribute("data-done", str(len(queries)))
    assert page.get("set-verdict").get_attribute("data-verdict") in (
        "better", "not better", "undecided",
    )  # fmt: skip
    expect(page.get("set-plot")).to_be_visible()
    row = page.get("set-row").first
    text = row.locator("button").inner_text()
    assert text in {q["text"] for q in queries}
    row.locator("button").click()
    expect(page.get("query")).to_have_value(text)
    page.settle()
    assert page.ids("after-list")


def test_a_comparison_can_be_stopped(page: Watched, site: Site) -> None:
    many = {"queries": [{"text": f"Tesla number {n}"} for n in range(300)]}
    many["grades"] = {f"q{n + 1}": {"nikola-tesla-04": 1} for n in range(300)}  # type: ignore[assignment]
    import httpx2

    url = f"{site.found.url}/api/v1/indexes/sample/query-sets/many"
    assert httpx2.put(url, json=many, timeout=60).status_code == 200
    page.get("tab-queries").click()
    page.get("set-select").select_option("many")
    page.get("set-run").click()
    expect(page.get("set-progress")).to_contain_text(re.compile(r"[1-9]\d* of 300"))
    page.get("set-cancel").click()
    expect(page.get("set-run")).to_be_visible()
    expect(page.get("set-verdict")).to_have_count(0)
    assert httpx2.delete(url, timeout=60).status_code == 200


def test_an_answer_cites_passages(page: Watched) -> None:
    page.ask("When was Tesla born?")
    page.get("tab-answer").click()
    expect(page.get("answer-text")).to_be_visible()
    page.settle()
    text = page.get("answer-text").inner_text()
    assert text.strip()
    assert page.get("answer-citation").count() >= 1


class Typist(LLM):
    """Writes an answer whose last words wait until they are let go."""

    name = "typist"

    def __init__(self) -> None:
        self.go = threading.Event()

    def complete(self, prompt: Prompt) -> Completion:
        return Completion("Tesla was born in 1856 [1].", Stop.END, 5, 5)

    def stream(self, prompt: Prompt) -> TextStream:
        def pieces() -> Iterator[str | Completion]:
            yield "Tesla was "
            assert self.go.wait(60)
            yield "born in 1856 [1]."
            yield self.complete(prompt)

        return TextStream(pieces())


def test_an_answer_is_shown_as_it_is_written(page: Watched, site: Site) -> None:
    llm = Typist()
    site.found.state.llm = llm
    try:
        page.ask("When was Tesla born?")
        page.get("tab-answer").click()
        text = page.get("answer-text")
        expect(text).to_have_text("Tesla was", use_inner_text=True)
        assert text.get_attribute("data-status") == "streaming"
        # The passages come first.
        assert page.page.get_by_role("listitem").filter(has_text="[1]").count() >= 1
        llm.go.set()
        expect(text).to_have_attribute("data-status", "generated")
        expect(text).to_contain_text("born in 1856")
        expect(page.get("answer-citation")).to_have_text("1")
        llm.go.clear()
        # Leaving ends the answer, without an error.
        page.get("search-button").click()
        expect(text).to_have_attribute("data-status", "streaming")
        page.get("tab-search").click()
        llm.go.set()
        page.settle()
        expect(page.get("error")).to_have_count(0)
    finally:
        llm.go.set()
        site.found.state.llm = None


def test_an_index_is_made_filled_with_files_and_searched(
    page: Watched, tmp_path: Path, site: Site
) -> None:
    (tmp_path / "harbor notes.md").write_text("# Harbor\n\nThe lighthouse was lit in 1871.")
    (tmp_path / "bad.pdf").write_bytes(b"no pdf")
    page.expected = "400 (Bad Request)"
    page.get("tab-indexes").click()
    page.get("index-name").fill("harbor")
    page.get("index-create").click()
    expect(page.get("index-list").locator('[data-id="harbor"]')).to_be_visible()
    page.get("index-drop").locator("input").set_input_files(
        [tmp_path / "harbor notes.md", tmp_path / "bad.pdf"]
    )
    progress = page.get("index-progress")
    expect(progress).to_contain_text("harbor notes.md")
    # All of its bytes were counted as they went.
    row = progress.locator("li", has_text="harbor notes.md")
    size = str((tmp_path / "harbor notes.md").stat().st_size)
    expect(row).to_have_attribute("data-sent", size)
    expect(progress.get_by_test_id("error")).to_contain_text("bad.pdf")
    expect(page.get("index-list").locator('[data-id="harbor"]')).to_contain_text("1 document")
    page.get("tab-search").click()
    page.get("index-select").select_option("harbor")
    page.ask("When was the lighthouse lit?")
    assert page.ids("after-list") == ["harbor notes.md"]
    expect(page.get("text-title")).to_have_text("Harbor")
    assert site.asked("/indexes/harbor")["documents"] == 1


def test_the_view_as_a_program_and_a_configuration(page: Watched) -> None:
    page.ask(QUESTION)
    page.get("config-0").locator("summary").first.click()
    page.get("control-mode").select_option("bm25")
    page.settle()
    page.get("export-menu").click()
    code = page.get("export-code")
    page.get("export-toml").click()
    assert tomllib.loads(code.inner_text())["search"]["mode"] == "bm25"
    page.get("export-curl").click()
    expect(code).to_contain_text("/api/v1/indexes/sample/search")
    page.get("export-python").click()
    compile(code.inner_text(), "search.py", "exec")
    expect(code).to_contain_text("bm25")
    page.get("export-typescript").click()
    expect(code).to_contain_text("bm25")


def test_a_run_is_saved_as_json(page: Watched) -> None:
    page.ask(QUESTION)
    page.get("export-menu").click()
    with page.page.expect_download() as download:
        page.get("export-json").click()
    saved = json.loads(Path(str(download.value.path())).read_text("utf-8"))
    (run,) = saved["runs"]
    assert run["ranking"]["query"] == QUESTION
    assert run["ranking"]["results"][0]["document_id"] == page.ids("after-list")[0]


@pytest.mark.parametrize(
    ("button", "ending"), [("export-run", "jsonl"), ("export-trec", "trec")]
)
def test_a_run_is_measured_by_the_command_line(
    page: Watched, site: Site, tmp_path: Path, button: str, ending: str
) -> None:
    from secondpass.evaluate.run import Run

    query = site.asked("/indexes/sample/query-sets/sample")["queries"][0]
    page.ask(query["text"])
    ranked = page.ids("after-list")
    page.get("export-menu").click()
    with page.page.expect_download() as download:
        page.get(button).click()
    assert download.value.suggested_filename.endswith(f".{ending}")
    file = tmp_path / f"page.{ending}"
    download.value.save_as(file)
    run = Run.read(file)
    assert run.ranking(query["id"])[:5] == list(dict.fromkeys(ranked))[:5]
    folder = site.index / "query-sets" / "sample"
    files = ["--queries", folder / "queries.jsonl", "--qrels", folder / "qrels.jsonl"]
    command = [sys.executable, "-m", "secondpass", "eval", "--runs", file, *files, "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (measured,) = json.loads(done.stdout)["runs"]
    assert measured["name"] == "page"
    assert any(values[query["id"]] > 0 for values in measured["by_query"].values())


def test_the_offline_page_opens_from_disk(
    page: Watched, context: BrowserContext, tmp_path: Path
) -> None:
    page.ask("zyxomma script image svg template")
    names = page.ids("after-list")
    page.get("export-menu").click()
    with page.page.expect_download() as download:
        page.get("export-html").click()
    assert download.value.suggested_filename.endswith(".html")
    file = tmp_path / "saved page.html"
    download.value.save_as(file)
    offline = watch(context, file.as_uri())
    offline.page.goto(file.as_uri())
    text = offline.page.locator("body").inner_text()
    assert "zyxomma" in text
    assert HOSTILE["script"].split("<")[0].strip() in text
    assert "<script>window.hacked" in text
    assert offline.page.locator("img[src='x'], body script:not([src])").count() == 0
    assert any(name in offline.page.content() for name in names)
    offline.check()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("keyed")
    key = KeyFile(folder / "keys.json").create("page", ["search", "write", "rerank"])
    settings = ServerSettings(
        models=["bundled-tiny"], indexes={"sample": site.index}, keys=folder / "keys.json"
    )
    with running(settings) as found:
        yield found.url, key


def test_a_key_is_asked_for_and_kept_in_this_tab_alone(
    chromium: Browser, keyed: tuple[str, str]
) -> None:
    url, key = keyed
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    page = watch(context, url)
    page.expected = "401 (Unauthorized)"
    page.page.goto(f"{url}/ui")
    expect(page.get("key-form")).to_be_visible()
    page.get("key-input").fill("sp-00000000-wrong")
    page.get("key-submit").click()
    expect(page.get("key-form")).to_contain_text("does not know")
    page.get("key-input").fill(key)
    page.get("key-submit").click()
    expect(page.get("query")).to_be_visible()
    page.ask("Tesla")
    assert page.ids("after-list")
    page.page.reload()
    expect(page.get("query")).to_be_visible()
    stored = page.page.evaluate(
        "JSON.stringify([localStorage, document.cookie, location.href])"
    )
    assert key not in stored
    assert key in page.page.evaluate("JSON.stringify(sessionStorage)")
    page.settle()
    page.check()
    # Another tab of the same browser does not have it.
    other = watch(context, url)
    other.expected = "401 (Unauthorized)"
    other.page.goto(f"{url}/ui")
    expect(other.get("key-form")).to_be_visible()
    other.check()
    context.close()
