"""The whole study, on data with a known answer."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from secondpass import InputError
from secondpass.evaluate.report.html import html_page
from secondpass.evaluate.report.json import as_object
from secondpass.evaluate.report.text import headline
from secondpass.evaluate.study import Study, Verdict, analyze, verdict
from tests.evaluate.experiment_data import make_experiment_data


@pytest.fixture(scope="module")
def wise() -> Study:
    return analyze(make_experiment_data(knows=1.0))


@pytest.fixture(scope="module")
def foolish() -> Study:
    return analyze(make_experiment_data(knows=0.0))


def test_a_reranker_that_knows_pays(wise: Study) -> None:
    assert verdict(wise) is Verdict.RERANK
    assert headline(wise).startswith("Rerank ")
    assert " ms; " in headline(wise)
    assert wise.gain.mean > 0.1
    assert wise.choice.variant.order in ("alone", "tuned blend")
    assert wise.baseline.mean > max(r.mean for r in wise.first_stages[1:])


def test_a_reranker_that_guesses_does_not(foolish: Study) -> None:
    assert verdict(foolish) is not Verdict.RERANK
    assert foolish.harmed
    harm = foolish.harmed[0]
    assert harm.after < harm.before
    assert any(m.grade for m in harm.moves)
    assert [h.after - h.before for h in foolish.harmed] == sorted(
        h.after - h.before for h in foolish.harmed
    )


def test_no_second_pass_is_above_the_perfect_one(wise: Study) -> None:
    perfect = {b.depth: b.perfect for b in wise.bounds}
    for result in wise.results:
        assert result.mean <= perfect[result.variant.depth] + 1e-9
    assert list(perfect.values()) == sorted(perfect.values())


def test_a_study_is_the_same_every_time(wise: Study) -> None:
    again = analyze(make_experiment_data(knows=1.0))
    assert json.dumps(as_object(again)) == json.dumps(as_object(wise))


class Tags(HTMLParser):
    """Checks that what is opened is closed, and remembers what would be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag in ("script", "link", "img", "iframe"):
            self.loaded.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("knows", [0.0, 1.0])
@pytest.mark.parametrize("timed", [False, True])
def test_the_page_is_whole_and_loads_nothing(knows: float, timed: bool) -> None:
    text = html_page(analyze(make_experiment_data(knows=knows, timed=timed)))
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert not tags.loaded
    assert "made &lt;up&gt;" in text
    assert "<up>" not in text
    assert set(re.findall(r"https?://[^\"'\s]+", text)) <= {"http://www.w3.org/2000/svg"}
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    known = "Reliability of the probabilities" in text
    assert len(drawings) == (4 if timed else 3) + known
    assert "Whether its probabilities hold" in text
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert [child.tag.rpartition("}")[2] for child in root][:2] == ["title", "desc"]
        assert "nan" not in drawing


def test_too_few_queries_are_refused() -> None:
    with pytest.raises(InputError, match="9 judged queries are too few"):
        analyze(make_experiment_data(knows=1.0, queries=9))
