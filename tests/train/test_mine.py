from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.train.data.files import Examples, Group, read_examples
from secondpass.train.mining.false_negatives import FalseNegativeFilter, KnownPositives
from secondpass.train.mining.mine import MineSettings, mine, read_corpus
from secondpass.train.mining.negative_selection import (
    select_negatives,
    select_retrieved,
    top_by_cosine,
)
from tests.retrieve.hashed_embedder import HashedEmbedder

SAMPLE = Path(__file__).parents[2] / "examples" / "wikipedia"


@pytest.fixture(scope="module")
def sample() -> Examples:
    """The first twenty questions of the sample, and its first 150 passages with theirs."""
    whole = read_examples(SAMPLE, split="test")
    groups = whole.groups[:20]
    kept = sorted({p for g in groups for p in g.positives} | set(range(150)))
    new_index = {old: new for new, old in enumerate(kept)}
    return Examples(
        [whole.passages[p] for p in kept],
        [Group(g.query, tuple(new_index[p] for p in g.positives), ()) for g in groups],
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[FalseNegativeFilter, list[int], MineSettings]:
    """One query over passages of few words, so that many are alike; any cosines."""
    words = st.lists(st.sampled_from("abc"), min_size=1, max_size=7).map(" ".join)
    passages = draw(st.lists(words, min_size=1, max_size=150))
    places = st.integers(0, len(passages) - 1)
    groups = []
    for query in draw(st.lists(st.sampled_from(["q", "Q?", "r"]), min_size=1, max_size=4)):
        indices = draw(st.lists(places, min_size=1, max_size=4, unique=True))
        cut = draw(st.integers(1, len(indices)))
        groups.append(Group(query, tuple(indices[:cut]), tuple(indices[cut:])))
    known = KnownPositives(Examples(passages, groups))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    cosines = random.uniform(-1, 1, len(passages)).astype(np.float32).round(2)
    small = st.integers(0, 5)
    depth = draw(st.integers(1, 20))
    settings = MineSettings(
        draw(small),
        draw(small),
        draw(st.integers(1, 5)),
        depth,
        draw(st.integers(0, depth - 1)),
        draw(st.sampled_from([-2.0, 0.0, 0.05, 0.3])),
        draw(small),
    )
    bm25_ranking = draw(st.lists(places, max_size=depth, unique=True))
    return (
        FalseNegativeFilter(groups[0], known, cosines, settings.margin),
        bm25_ranking,
        settings,
    )


@given(cases())
def test_what_is_chosen_keeps_every_rule(
    case: tuple[FalseNegativeFilter, list[int], MineSettings],
) -> None:
    rules, bm25_ranking, settings = case
    selected = select_negatives(bm25_ranking, rules, settings)
    everything = [*selected.hard, *selected.medium, *selected.random]
    group, known = rules.group, rules.known
    assert len(set(everything)) == len(everything) <= settings.total
    assert not set(everything) & known.of_query(group.query)
    assert not set(everything) & set(group.negatives)
    assert not any(known.contains(p, q) for p in everything for q in group.positives)
    assert len(selected.hard) <= settings.hard
    assert len(selected.hard) + len(selected.medium) <= settings.hard + settings.medium
    vector_ranking = top_by_cosine(rules.cosines, len(rules.cosines)).tolist()
    assert set(selected.hard) <= {*bm25_ranking, *vector_ranking[: settings.depth]}
    assert not set(selected.medium) & set(vector_ranking[: settings.depth])
    assert not set(everything) & {
        *bm25_ranking[: settings.skip],
        *vector_ranking[: settings.skip],
    }
    assert all(rules.cosines[p] <= rules.max_cosine for p in (*selected.hard, *selected.medium))
    assert all(rules.cosines[p] <= rules.max_random_cosine for p in selected.random)
    again = FalseNegativeFilter(group, known, rules.cosines, settings.margin)
    assert select_negatives(bm25_ranking, again, settings) == selected


@given(cases())
def test_candidates_are_what_both_stages_find(
    case: tuple[FalseNegativeFilter, list[int], MineSettings],
) -> None:
    rules, bm25_ranking, settings = case
    positives, negatives = select_retrieved(bm25_ranking, rules, settings)
    group, known = rules.group, rules.known
    retrieved = {*bm25_ranking, *top_by_cosine(rules.cosines, settings.depth).tolist()}
    assert positives == [p for p in group.positives if p in retrieved]
    assert set(negatives) <= retrieved
    assert len(set(negatives)) == len(negatives)
    assert retrieved - set(negatives) - set(positives) == {
        p
        for p in retrieved - set(positives)
        if p in known.of_query(group.query)
        or any(known.contains(p, q) for q in group.positives)
    }


@given(st.lists(st.integers(-9, 9), min_size=1), st.integers(1, 60))
def test_the_nearest_are_those_of_a_full_sort(values: list[int], count: int) -> None:
    cosines = np.array(values, dtype=np.float32)
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    assert top_by_cosine(cosines, count).tolist() == expected


def test_a_positive_that_the_embedder_misses_still_gets_negatives() -> None:
    passages = [f"passage {i}" for i in range(400)]
    cosines = np.linspace(0.9, -0.1, 400, dtype=np.float32)
    group = Group("q", (399,), ())
    rules = FalseNegativeFilter(
        group, KnownPositives(Examples(passages, [group])), cosines, 0.05
    )
    selected = select_negatives([10, 20, 30], rules, MineSettings())
    assert (selected.hard, selected.medium) == ([], [])
    assert len(selected.random) == 16
    assert min(selected.random) >= 199
    seen = Group("q", (200,), ())
    rules = FalseNegativeFilter(seen, KnownPositives(Examples(passages, [seen])), cosines, 0.05)
    selected = select_negatives([10, 250, 390], rules, MineSettings())
    assert sorted(selected.hard) == [250, 390]
    assert rules.dropped["margin"] >= {10}


@pytest.mark.parametrize(
    ("passage", "positive", "same"),
    [
        ("Steep it for two minutes.", "steep it  for two minutes", True),
        ("Tea: steep it for two minutes, then drink.", "Steep it for two minutes.", True),
        ("Steep it for two minutes.", "Green tea\nSteep it for two minutes.", True),
        ("Steep it.", "Green tea\nSteep it. Then wait for two minutes.", False),
        ("Two minutes it is.", "Two minutes", False),
        ("Presteep it for two minutes.", "steep it for two minutes", False),
    ],
)
def test_texts_that_hold_a_positive(passage: str, positive: str, same: bool) -> None:
    known = KnownPositives(Examples([passage, positive], []))
    assert known.contains(0, 1) is same


def test_mining_the_sample(sample: Examples) -> None:
    stages: list[tuple[str, int, int]] = []
    settings = MineSettings(hard=4, medium=2, random=2, depth=20)
    mined = mine(
        sample, settings, lambda *step: stages.append(step), embedder=HashedEmbedder(384)
    )
    report, examples = mined.report, mined.examples
    assert examples.passages == sample.passages
    assert [g.query for g in examples.groups] == [g.query for g in sample.groups]
    assert all(len(g.negatives) == 8 for g in examples.groups)
    assert report.hard + report.medium + report.random == 8 * 20
    assert (report.groups, report.passages, report.short) == (20, len(sample.passages), 0)
    assert report.hard > 40
    assert {stage for stage, _, _ in stages} == {"index", "passages", "queries", "mine"}
    assert all(0 <= done <= total for _, done, total in stages)
    again = mine(sample, settings, embedder=HashedEmbedder(384))
    assert again == mined
    # A query's negatives are its own, whatever other queries there are.
    some = Examples(sample.passages, sample.groups[5:8])
    assert (
        mine(some, settings, embedder=HashedEmbedder(384)).examples.groups
        == (examples.groups[5:8])
    )
    other = mine(sample, MineSettings(4, 2, 2, 20, seed=1), embedder=HashedEmbedder(384))
    assert other.examples != examples


def test_hard_negatives_come_from_both_first_stages() -> None:
    # Only BM25 knows that "engine" is "engines", and only the vectors hold "the".
    near = ["the engines running fast", "an engine runs", "the the the"]
    far = ["cats sat", "dogs bark", "rivers flow", "bread rises"]
    examples = Examples([*far, *near], [Group("the engines running", (4,), ())])
    settings = MineSettings(hard=2, medium=0, random=0, depth=2, margin=-2)
    mined = mine(examples, settings, embedder=HashedEmbedder(256))
    assert set(mined.examples.groups[0].negatives) == {5, 6}
    assert mined.report.hard == 2


def test_mining_as_found_keeps_what_a_search_finds(sample: Examples) -> None:
    settings = MineSettings(depth=3, as_found=True)
    far = Group("How do plates of the crust move?", (len(sample.passages),), ())
    with_far = Examples([*sample.passages, "0 1 2 3 4"], [*sample.groups, far])
    mined = mine(with_far, settings, embedder=HashedEmbedder(384))
    report = mined.report
    assert report.left_out >= 1
    assert far.query not in [group.query for group in mined.examples.groups]
    assert len(mined.examples.groups) == len(with_far.groups) - report.left_out
    given = {group.query: set(group.positives) for group in with_far.groups}
    positive_count = 0
    for group in mined.examples.groups:
        assert set(group.positives) <= given[group.query]
        assert 1 <= len(group.negatives) <= 6
        positive_count += len(group.positives)
    left = [
        g for g in with_far.groups if g.query not in {m.query for m in mined.examples.groups}
    ]
    assert positive_count + report.unfound == sum(map(len, given.values()))
    assert report.unfound >= sum(len(group.positives) for group in left)
    nothing = Examples(with_far.passages, [far])
    with pytest.raises(InputError, match="retrieve no positive of any query"):
        mine(nothing, MineSettings(depth=1, as_found=True), embedder=HashedEmbedder(384))


def test_given_negatives_stay_first_and_the_corpus_is_added(tmp_path: Path) -> None:
    group = Group("green tea", (0,), (1,), "s", (2.0, 1.0))
    examples = Examples(["Steep green tea for two minutes.", "Tea is grown."], [group])
    corpus = tmp_path / "corpus.jsonl"
    rows: list[dict[str, Any]] = [
        {"_id": "1", "title": "Tea", "text": "Steep green tea for two minutes."},
        {"_id": "2", "title": "Coffee", "text": "Grind it."},
        {"_id": "3", "text": "Tea is grown."},
        {"_id": "4", "text": ""},
        {"_id": "5", "text": "Bake bread."},
    ]
    corpus.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    mined = mine(
        examples,
        MineSettings(margin=-2),
        corpus=read_corpus(corpus),
        embedder=HashedEmbedder(64),
    )
    (retrieved,) = mined.examples.groups
    assert (retrieved.positives, retrieved.negatives[0], retrieved.source) == ((0,), 1, "s")
    assert retrieved.scores is None
    added = [mined.examples.passages[p] for p in retrieved.negatives[1:]]
    assert sorted(added) == ["Bake bread.", "Coffee\nGrind it."]
    assert mined.examples.passages[:2] == examples.passages
    assert len(mined.examples.passages) == 4
    report = mined.report
    assert (report.given, report.same_text, report.short) == (1, 1, 1)


def test_answers_to_a_near_copy_of_the_query_are_refused() -> None:
    passages = ["Steep it.", "Two minutes.", "Bake bread.", "Grind it."]
    examples = Examples(passages, [Group("tea?", (0,), ()), Group("Tea", (1,), ())])
    mined = mine(examples, MineSettings(margin=-2), embedder=HashedEmbedder())
    assert [set(g.negatives) for g in mined.examples.groups] == [{2, 3}, {2, 3}]
    assert mined.report.same_query == 2


def test_strange_queries_and_one_passage_alone() -> None:
    queries = ["the of and", "?!", "\udc00", '( AND ^~ "', "茶 はどう"]
    examples = Examples(["only \ud800"], [Group(q, (0,), ()) for q in queries])
    mined = mine(examples, embedder=HashedEmbedder())
    assert all(g.negatives == () for g in mined.examples.groups)
    assert mined.report.short == len(queries)


@pytest.mark.parametrize(
    "settings",
    [
        {"hard": -1},
        {"medium": 1.5},
        {"random": True},
        {"depth": 0},
        {"skip": 50},
        {"margin": float("nan")},
        {"margin": "0.05"},
        {"seed": -1},
        {"hard": 0, "medium": 0, "random": 0},
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        MineSettings(**settings)
