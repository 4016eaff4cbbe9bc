"""The page by axe-core's rules, by keyboard, and on a narrow screen."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.ui.conftest import AXE, Site, Watched, watch

TABS = ("search", "paste", "queries", "answer", "indexes")


def violations(page: Watched) -> list[tuple[str, list[str]]]:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: there was no npm")
    page.page.evaluate(AXE.read_text("utf-8"))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    options = {"runOnly": {"type": "tag", "values": tags}}
    found: Any = page.page.evaluate("options => axe.run(document, options)", options)
    return [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found["violations"]]


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("width", [1440, 360])
def test_no_rule_of_axe_is_broken(chromium: Browser, site: Site, tab: str, width: int) -> None:
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    context.set_default_timeout(120_000)
    page = watch(context, site.found.url)
    page.page.goto(f"{site.url}#q=When+was+Tesla+born%3F&tab={tab}&configs=2&b.blend=false")
    page.get(f"tab-{tab}").wait_for()
    page.settle()
    if tab == "search":
        page.get("why-button").click()
        expect(page.get("what-if")).to_be_visible()
        page.get("config-0").locator("summary").first.click()
    drawn = set()
    colors: Any
    for colors in ("light", "dark"):
        page.page.emulate_media(color_scheme=colors)
        assert violations(page) == [], colors
        drawn.add(page.page.evaluate("getComputedStyle(document.body).color"))
    assert len(drawn) == 2
    page.check()
    context.close()


@pytest.mark.parametrize("tab", TABS)
def test_nothing_is_wider_than_a_small_phone(chromium: Browser, site: Site, tab: str) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740})
    context.set_default_timeout(120_000)
    page = watch(context, site.found.url)
    page.page.goto(f"{site.url}#q=When+was+Tesla+born%3F&tab={tab}")
    page.get(f"tab-{tab}").wait_for()
    page.settle()
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360
    page.check()
    context.close()


def test_everything_is_reached_by_keyboard(page: Watched) -> None:
    page.ask("When was Tesla born?")
    page.page.evaluate("document.activeElement.blur()")
    wanted = {"tab-queries", "query", "search-button", "threshold", "why-button", "grade-3"}
    seen: set[str] = set()
    rows = 0
    for _ in range(400):
        page.page.keyboard.press("Tab")
        name, in_row = page.page.evaluate(
            "() => { const e = document.activeElement;"
            " return [e?.dataset?.testid ?? '', e?.closest('[data-testid=result]') !== null]; }"
        )
        seen.add(name)
        rows += in_row
        if wanted <= seen and rows >= 3:
            break
    assert wanted <= seen
    assert rows >= 3
    # What has the focus shows it.
    outline = page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_motion_is_reduced_where_that_is_asked_for(chromium: Browser, site: Site) -> None:
    context = chromium.new_context(reduced_motion="reduce")
    context.set_default_timeout(120_000)
    page = watch(context, site.found.url)
    page.page.goto(f"{site.url}#q=When+was+Tesla+born%3F")
    page.get("after-list").wait_for()
    page.settle()
    moving = page.page.evaluate(
        "() => document.getAnimations().filter(a => a.effect.getTiming().duration > 10).length"
    )
    assert moving == 0
    page.check()
    context.close()
