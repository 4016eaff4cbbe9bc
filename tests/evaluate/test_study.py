"""The whole study, on data with a known answer."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from secondpass import InputError
from secondpass.evaluate.cross_fitting import (
    choose_variant,
    cross_fit,
    make_folds,
    nested_cross_fit,
    split_mask,
)
from secondpass.evaluate.report.html import html_page
from secondpass.evaluate.report.json import as_object
from secondpass.evaluate.report.text import headline
from secondpass.evaluate.study import Study, Verdict, analyze, verdict
from secondpass.evaluate.tuning import choose_settings
from secondpass.evaluate.variants import SearchVariant
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


def family(values: list[list[float]], cost: float = 1.0) -> SearchVariant:
    return SearchVariant(
        "f", [{} for _ in values], np.array(values), cost, "blend", lambda _: {}
    )


def test_a_query_has_no_say_in_its_own_setting() -> None:
    # One setting is right for even queries, the other for odd ones.
    even = [float(i % 2 == 0) for i in range(20)]
    one = family([even, [1 - v for v in even]])
    rows = np.array([i % 2 == 0 for i in range(20)])
    assert cross_fit(one, [rows, ~rows]).sum() == 0.0


def test_masks_are_disjoint_and_cover_all() -> None:
    rows = np.random.default_rng(0).random(23) < 0.7
    for masks in (make_folds(23, 5), split_mask(rows, 4)):
        assert max(np.sum(masks, axis=0)) == 1
    assert np.array_equal(np.sum(split_mask(rows, 4), axis=0), rows)


def test_the_cheaper_of_equals_is_taken() -> None:
    chooser = np.random.default_rng(0)
    good = chooser.random(50)
    dear = family([good.tolist()], cost=9.0)
    cheap = family([good.tolist()], cost=2.0)
    bad = family([(good - 0.5).tolist()], cost=1.0)
    rows = np.ones(50, dtype=bool)
    assert choose_variant([dear, bad, cheap], rows) == 2


def test_choosing_among_noise_flatters_and_nesting_does_not() -> None:
    chooser = np.random.default_rng(3)
    noise = [family([chooser.normal(0, 1, 60).tolist()]) for _ in range(60)]
    rows = np.ones(60, dtype=bool)
    inner = noise[choose_variant(noise, rows)].values[0].mean()
    outer = nested_cross_fit(noise, make_folds(60, 5)).values.mean()
    assert inner > 0.2
    assert abs(outer) < inner


def test_tuning_promises_less_than_it_chose_by() -> None:
    data = make_experiment_data(knows=0.7)
    found = choose_settings(data)
    assert found.settings["rerank"] == "wise & old"
    assert found.low <= found.promised <= found.high
    assert found.over.mean == pytest.approx(found.promised - found.default)
    quick = choose_settings(data, max_latency_ms=16.0)
    assert quick.ms <= 16.0
    assert quick.settings["candidates"] == 5 or quick.settings["rerank"] is False
    with pytest.raises(InputError, match="no settings are as fast as 1 ms"):
        choose_settings(data, max_latency_ms=1.0)
