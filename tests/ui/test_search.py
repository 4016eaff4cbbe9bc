"""Searching on the page: columns, controls, links, reasons, judging, hostile texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Response, expect

from tests.ui.conftest import HOSTILE, Site, Watched, watch

QUESTION = "When did the Black Death reach Europe?"


def open_settings(page: Watched) -> Any:
    panel = page.get("config-0")
    panel.locator("summary").first.click()
    more = panel.locator("details")
    if more.count() and not more.first.get_attribute("open"):
        more.first.locator("summary").click()
    return panel


def test_the_first_screen_has_an_answer_already(page: Watched, site: Site) -> None:
    page.page.goto("about:blank")
    page.page.goto(site.url)
    page.get("after-list").wait_for()
    page.settle()
    assert page.get("query").input_value()
    expect(page.get("status")).to_have_attribute("data-status", "reranked")
    assert len(page.ids("before-list")) >= 5
    assert len(page.ids("after-list")) >= 5
    assert page.get("span").count() >= 1


def test_a_question_is_answered_as_it_is_typed(page: Watched, site: Site) -> None:
    page.ask(QUESTION)
    body = {"query": QUESTION, "top_k": 50}
    results = site.asked("/indexes/sample/search", body)["results"]
    expected = [r["document_id"] for r in results]
    shown = page.ids("after-list")
    assert shown == expected[: len(shown)]
    first = sorted(results, key=lambda r: r["first_stage"]["rank"])
    before = page.ids("before-list")
    assert before == [r["document_id"] for r in first][: len(before)]
    expect(page.get("text-body")).to_have_text(results[0]["document"]["text"])
    assert page.get("timing-total").text_content()


def test_sentences_are_found_for_the_rows_that_are_shown(page: Watched, site: Site) -> None:
    page.bodies.clear()
    page.ask(QUESTION)
    assert [body["spans"] for body in page.bodies] == [{"max_results": 10}]
    body = {"query": QUESTION, "top_k": 50, "spans": True}
    results = site.asked("/indexes/sample/search", body)["results"]
    late = next(r for r in results[10:] if r["spans"])
    page.get("columns").page.get_by_role("button", name=re.compile("Show all")).click()
    page.get("after-list").get_by_test_id("result").nth(late["rank"] - 1).locator(
        "button"
    ).click()
    expect(page.get("span")).to_have_count(len(late["spans"]))
    page.settle()
    assert [body["spans"] for body in page.bodies] == [{"max_results": 10}, True]
    # A link to a passage further down has its sentences, too.
    page.page.reload()
    expect(page.get("span")).to_have_count(len(late["spans"]))
    assert page.ids("after-list") == [r["document_id"] for r in results[:10]]


def test_searches_do_not_pile_up_while_typing(page: Watched) -> None:
    given_up: list[str] = []
    page.page.on("requestfailed", lambda request: given_up.append(request.failure or ""))
    field = page.get("query")
    field.fill("")
    field.press_sequentially(QUESTION)
    expect(page.get("text-body")).to_contain_text("1343")
    page.settle()
    assert page.bodies[-1]["query"] == QUESTION
    assert set(given_up) <= {"net::ERR_ABORTED"}
    expect(page.get("error")).to_have_count(0)


def test_a_passage_lights_up_in_both_columns(page: Watched) -> None:
    page.ask(QUESTION)
    row = page.get("after-list").get_by_test_id("result").nth(1)
    name = row.get_attribute("data-id")
    row.locator("button").hover()
    same = page.get("before-list").locator(f'[data-id="{name}"] button')
    expect(same).to_have_class(re.compile(r"\bactive\b"))
    row.locator("button").click()
    expect(page.get("text-panel")).to_contain_text(str(name))


def test_the_chart_has_a_table_behind_it(page: Watched) -> None:
    page.ask(QUESTION)
    table = page.get("slope-table")
    expect(table).to_be_attached()
    assert table.locator("tr").count() > 5
    assert page.get("slope-chart").locator("path, line").count() >= 5


# What is typed or chosen in each control, and what the search then asks for.
CONTROLS: dict[str, tuple[Any, Any]] = {
    "mode": ("bm25", "bm25"),
    "candidates": ("20", 20),
    "fusion": ("dbsf", "dbsf"),
    "model": ("bundled-tiny", "bundled-tiny"),
    "blend": ("false", False),
    "cascade": (True, True),
    "early_exit_at": ("5", 5),
    "filter": ("number < 40", "number < 40"),
    "group_by": ("document", "document"),
    "budget_ms": ("5000", 5000),
    "diversity": ("0.3", 0.3),
    "feedback": ("2", 2),
    "adaptive": (True, True),
    "max_length": ("64", 64),
    "boost": ("number < 40: +0.3", ["number < 40: +0.3"]),
    "pin": ("nikola-tesla-04", ["nikola-tesla-04"]),
    "hide": ("black-death-01", ["black-death-01"]),
    "query_variants": ("plague in Europe", ["plague in Europe"]),
    "template": ("{title}: {text}", "{title}: {text}"),
}


# Those that a search takes together, so that a page is loaded for each group alone.
TOGETHER = (
    ("candidates", "fusion", "filter", "budget_ms", "query_variants", "adaptive"),
    ("mode", "feedback", "template", "max_length", "model", "blend"),
    ("cascade", "diversity", "pin", "hide", "boost"),
    ("group_by", "early_exit_at"),
)


def search_with(option: str, asked: object) -> Callable[[Response], bool]:
    """Return what is true of a response to a search that has an option so."""

    def sent(response: Response) -> bool:
        body: Any = response.request.post_data_json
        return response.url.endswith("/search") and body.get(option) == asked

    return sent


@pytest.mark.parametrize("names", TOGETHER, ids="-".join)
def test_each_control_acts_at_once_and_is_in_the_link(
    page: Watched, names: tuple[str, ...]
) -> None:
    page.ask(QUESTION)
    open_settings(page)
    for name in names:
        typed, asked = CONTROLS[name]
        option = "rerank" if name == "model" else name
        control = page.get(f"control-{name}").first
        with page.page.expect_response(search_with(option, asked)) as answered:
            if control.evaluate("e => e.tagName") == "SELECT":
                control.select_option(typed)
            elif isinstance(typed, bool):
                control.set_checked(typed)
            else:
                control.fill(typed)
                control.press("Tab")
        assert answered.value.status == 200, answered.value.text()
        page.settle()
        expect(page.get("error")).to_have_count(0)
        assert f"a.{option}=" in page.page.evaluate("location.hash")


def test_every_control_is_in_one_group() -> None:
    assert sorted(name for names in TOGETHER for name in names) == sorted(CONTROLS)


def test_a_link_reproduces_the_view(page: Watched, context: BrowserContext, site: Site) -> None:
    page.ask(QUESTION)
    open_settings(page)
    page.get("control-mode").select_option("bm25")
    page.get("control-candidates").fill("15")
    page.get("control-candidates").press("Tab")
    page.settle()
    page.get("config-add").click()
    page.settle()
    again = watch(context, site.found.url)
    again.page.goto(page.page.url)
    again.get("after-list").wait_for()
    again.settle()
    assert again.page.url == page.page.url
    assert again.get("query").input_value() == QUESTION
    assert again.ids("before-list") == page.ids("before-list")
    assert again.get("columns").inner_text() == page.get("columns").inner_text()
    assert {(b["mode"], b["candidates"]) for b in again.bodies} == {("bm25", 15)}
    again.check()


def test_back_and_forward_are_views(page: Watched) -> None:
    page.get("tab-paste").click()
    expect(page.get("paste-query")).to_be_visible()
    page.page.go_back()
    expect(page.get("query")).to_be_visible()
    page.page.go_forward()
    expect(page.get("paste-query")).to_be_visible()


def test_nothing_passes_a_high_threshold(page: Watched) -> None:
    page.ask(QUESTION)
    expect(page.get("no-answer")).to_have_count(0)
    threshold = page.get("threshold")
    threshold.focus()
    threshold.press("End")
    expect(page.get("no-answer").first).to_be_visible()
    threshold.press("Home")
    expect(page.get("no-answer")).to_have_count(0)


def test_up_to_four_configurations_side_by_side(page: Watched) -> None:
    page.ask(QUESTION)
    for count in (2, 3, 4):
        page.get("config-add").click()
        page.settle()
        expect(page.get(f"config-{count - 1}")).to_be_visible()
    expect(page.get("config-add")).to_have_count(0)
    expect(page.get("agreement")).to_be_visible()
    page.get("config-3").locator("summary").first.click()
    page.get("config-3").get_by_test_id("config-remove").click()
    expect(page.get("config-3")).to_have_count(0)


def test_why_a_result_is_there_and_what_would_move_it(page: Watched, site: Site) -> None:
    page.ask(QUESTION)
    with page.page.expect_response(lambda r: r.url.endswith("/explain")) as answered:
        page.get("why-button").click()
    why = answered.value.json()
    panel = page.get("why-panel")
    expect(panel).to_contain_text("death")
    what_if = page.get("what-if")
    for change in why["counterfactuals"][:2]:
        expect(what_if).to_contain_text(change["change"])


def test_what_if_no_titles_were_read(page: Watched, site: Site) -> None:
    page.ask(QUESTION)
    second = page.get("after-list").get_by_test_id("result").nth(1)
    second.locator("button").click()
    name = second.get_attribute("data-id")
    page.get("why-button").click()
    page.get("what-if-untitled").click()
    body = {"query": QUESTION, "top_k": 50, "fields": ["text"]}
    results = site.asked("/indexes/sample/search", body)["results"]
    rank = next(r["rank"] for r in results if r["document_id"] == name)
    row = page.get("what-if").locator("tr", has_text="no titles are read")
    expect(row.locator("td")).to_have_text(str(rank))
    page.get("what-if-compare").click()
    expect(page.get("config-1")).to_be_visible()
    page.settle()
    assert page.bodies[-1]["fields"] == ["text"]
    expect(page.get("after-list-2").get_by_test_id("result").first).to_have_attribute(
        "data-id", results[0]["document_id"]
    )


def test_judgments_by_keyboard_survive_a_reload(page: Watched, site: Site) -> None:
    query = "What did Tesla invent?"
    page.ask(query)
    rows = page.get("after-list").get_by_test_id("result")
    names = [rows.nth(n).get_attribute("data-id") for n in range(2)]
    for number, grade in enumerate((3, 0)):
        with page.page.expect_response(lambda r: r.url.endswith("/judgments")) as answered:
            rows.nth(number).locator("button").press(str(grade))
        assert answered.value.status == 200
    expect(page.get("judged-ndcg")).to_contain_text("nDCG")
    page.page.reload()
    page.get("after-list").wait_for()
    page.settle()
    assert page.get("query").input_value() == query
    expect(page.get("judged-ndcg")).to_contain_text("2 judgments")
    stored = site.asked("/indexes/sample/query-sets/judged")
    key = next(q["id"] for q in stored["queries"] if q["text"] == query)
    assert stored["grades"][key] == {names[0]: 3, names[1]: 0}
    # With the mouse too, and back again.
    page.get("after-list").get_by_test_id("result").nth(1).locator("button").click()
    page.get("grade-clear").click()
    expect(page.get("judged-ndcg")).to_contain_text("1 judgment")


def test_blind_judging_hides_ranks_and_order(page: Watched) -> None:
    page.ask(QUESTION)
    order = page.ids("after-list")
    page.get("hide-ranks").check()
    page.get("shuffle").check()
    blind = page.get("blind-list")
    expect(blind).to_be_visible()
    rows = [r.get_attribute("data-id") for r in blind.get_by_test_id("result").all()]
    assert set(order[:5]) <= set(rows)
    assert rows[:5] != order[:5]
    expect(page.get("after-list")).to_have_count(0)
    page.get("hide-ranks").uncheck()
    page.get("shuffle").uncheck()
    assert page.ids("after-list") == order


def test_texts_are_never_interpreted(page: Watched) -> None:
    for name, text in HOSTILE.items():
        page.ask(f"zyxomma {name.replace('-', ' ')}")
        row = page.get("after-list").locator(f'[data-id="hostile-{name}"] button')
        row.click()
        expect(page.get("text-title")).to_have_text(f"Title of <b>{name}</b>")
        assert page.get("text-body").evaluate("e => e.textContent").strip() == text
        panel = page.get("text-panel")
        assert panel.locator("script, img, iframe, a[href^='javascript']").count() == 0, name
        assert panel.locator("b, i, animate").count() == 0, name
        # A direction that a text turns does not leave it.
        assert row.locator("bdi").count() >= 1, name
        assert page.page.evaluate("window.hacked") is None, name


def test_hostile_queries_are_text_too(page: Watched) -> None:
    query = "<img src=x onerror=window.hacked=1> \u202etesla {{1+1}}"
    page.ask(query)
    page.page.reload()
    page.settle()
    assert page.get("query").input_value() == query


def test_an_error_of_the_server_is_shown_with_what_to_do(page: Watched) -> None:
    page.expected = "400 (Bad Request)"
    page.ask(QUESTION)
    open_settings(page)
    page.get("control-filter").fill("nubmer < 3")
    page.get("control-filter").press("Tab")
    expect(page.get("error").first).to_contain_text("number")
    page.get("control-filter").fill("")
    page.get("control-filter").press("Tab")
    expect(page.get("error")).to_have_count(0)


def test_what_was_not_scored_is_said(page: Watched) -> None:
    page.ask(QUESTION)
    open_settings(page)
    with page.page.expect_response(lambda r: r.url.endswith("/search")) as answered:
        page.get("control-budget_ms").fill("1")
        page.get("control-budget_ms").press("Tab")
    page.settle()
    status = answered.value.json()["status"]
    expect(page.get("status")).to_have_attribute("data-status", status)


def test_the_colors_can_be_chosen(page: Watched) -> None:
    for expected in ("light", "dark", None):
        page.get("theme").click()
        found = page.page.evaluate("document.documentElement.dataset.theme ?? null")
        assert found == expected


def test_settings_of_the_link_are_those_that_are_asked_for(page: Watched, site: Site) -> None:
    strange = "q=x&a.mode=%22bm25%22&a.candidates=abc&a.nothing=1&k=-5&configs=99&tab=none"
    page.expected = "400 (Bad Request)"
    page.page.goto(f"{site.url}#{strange}")
    page.page.reload()
    page.settle()
    expect(page.get("config-3")).to_be_visible()
    assert any(body.get("mode") == "bm25" for body in page.bodies)
