from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondpass import Index, InputError
from secondpass.evaluate import Collection, tune
from secondpass.evaluate.experiment import collect, rescored_variants
from secondpass.evaluate.report.text import headline, summary_sentences
from secondpass.evaluate.score_matrix import Objective
from secondpass.evaluate.study import analyze
from secondpass.evaluate.tuning import FIRST_STAGES, choose_settings, list_variants
from secondpass.evaluate.variant_builders import WITH_NEIGHBORS
from secondpass.rerank.question import is_question
from tests.evaluate.experiment_data import make_clustered_data, make_experiment_data

SAMPLE = Path(__file__).parents[2] / "examples" / "wikipedia"


def test_tuning_promises_less_than_it_chose_by() -> None:
    data = make_experiment_data(knows=0.7)
    tuned = choose_settings(data)
    assert tuned.settings["rerank"] == "wise & old"
    assert tuned.low <= tuned.promised <= tuned.high
    assert tuned.over.mean == pytest.approx(tuned.promised - tuned.default)
    quick = choose_settings(data, max_latency_ms=16.0)
    assert quick.ms <= 16.0
    assert quick.settings["candidates"] == 5 or quick.settings["rerank"] is False
    with pytest.raises(InputError, match="no settings are as fast as 1 ms"):
        choose_settings(data, max_latency_ms=1.0)


def test_the_old_spelling_of_maximize_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "secondpass.evaluate.tuning.collect",
        lambda *arguments, **options: make_experiment_data(knows=0.7),
    )
    collection = Collection("c", {"q": "text"}, {"q": {"d": 1}})
    index: Index = None  # type: ignore[assignment]
    with pytest.warns(DeprecationWarning, match="use maximize"):
        tuned = tune(index, collection, maximise="RR@10")
    assert tuned.measure == "RR@10"
    assert tune(index, collection, maximize="RR@10") == tuned


def test_a_weight_of_neighbors_is_found_where_relevant_documents_are_alike() -> None:
    data = make_clustered_data("relevant")
    tuned = choose_settings(data)
    assert tuned.settings["blend"]["neighbors"] > 0
    assert tuned.label.endswith(WITH_NEIGHBORS)
    assert set(tuned.picks) == {tuned.label}
    without = replace(data, first_stage=replace(data.first_stage, vectors={}))
    plain = choose_settings(without)
    assert "neighbors" not in plain.settings["blend"]
    assert tuned.promised > plain.promised + 0.02
    assert tuned.tried > plain.tried
    # The lookup of the vectors counts: it takes a millisecond here.
    depth = tuned.settings["candidates"]
    assert tuned.ms == pytest.approx(5.0 + 2.0 * depth + 1.0)


@pytest.mark.parametrize("near", ["none", "irrelevant"])
def test_neighbors_stay_without_weight_where_they_do_not_pay(near: str) -> None:
    tuned = choose_settings(make_clustered_data(near))
    assert tuned.settings["rerank"] == "half wise"
    assert not isinstance(tuned.settings["blend"], dict) or (
        "neighbors" not in tuned.settings["blend"]
    )


def test_neighbors_are_not_tried_without_probabilities() -> None:
    data = replace(make_clustered_data("relevant"), probabilities={})
    variants = list_variants(data, Objective(data.collection.qrels))
    assert all(v.order != WITH_NEIGHBORS for v in variants)


@pytest.mark.parametrize(("knows", "pays"), [(0.9, True), (-5.0, False)])
def test_a_second_reading_is_chosen_where_it_pays(knows: float, pays: bool) -> None:
    data = make_experiment_data(knows=0.5, rescorer_knows=knows)
    tuned = choose_settings(data)
    assert ("rescore" in tuned.settings) is pays
    if pays:
        assert tuned.settings["rescore"] == "slow"
        assert tuned.settings["rescore_weight"] >= 0.3
        # The first stage, and both models.
        assert tuned.ms == 5.0 + 9.0 * tuned.settings["candidates"]
        fast = choose_settings(data, max_latency_ms=46)
        assert fast.settings.get("rescore") is None or fast.settings["candidates"] == 5
    study = analyze(data)
    assert ("the first read again by slow" in headline(study)) is pays
    # Said whether it is chosen or not.
    (line,) = (s for s in summary_sentences(study) if s.startswith("Read again by slow"))
    assert ("bring +" in line) is pays
    assert "ms." in line


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    lines = (SAMPLE / "corpus.jsonl").read_text("utf-8").splitlines()[:80]
    with Index.open(tmp_path_factory.mktemp("index") / "i") as opened:
        opened.add([json.loads(line) for line in lines])
        yield opened


@pytest.fixture(scope="module")
def collection(index: Index) -> Collection:
    sample = Collection.read(SAMPLE)
    stored = index.stored_ids([d for grades in sample.qrels.values() for d in grades])
    kept = [q for q, grades in sample.qrels.items() if grades.keys() & set(stored or ())]
    return replace(
        sample,
        queries={q: sample.queries[q] for q in kept},
        qrels={q: sample.qrels[q] for q in kept},
    )


def test_the_reading_of_questions_is_tried_as_a_search_does_it(
    index: Index, collection: Collection
) -> None:
    names = list(collection.queries)
    # Every other one is no question.
    texts = {
        q: t if names.index(q) % 2 else f"a page that says {t[:-1]}"
        for q, t in collection.queries.items()
    }
    mixed = replace(collection, queries=texts)
    models, stages = ["bundled", "bundled-tiny"], FIRST_STAGES
    data = collect(index, mixed, models=models, depths=[30], first_stages=stages)
    assert (data.rescored.keys(), data.automatic) == ({"bundled-full"}, {"bundled-full"})
    every = list_variants(data, Objective(data.collection.qrels))
    again = [v for v in every if v.rescorer is not None]
    assert {(v.model, v.order) for v in again} == {
        ("bundled", "blend, questions rescored by bundled-full")
    }
    (first,) = (
        v for v in again if v.settings[0].get("fusion", "rrf") == "rrf" and v.mode == "hybrid"
    )
    assert first.settings[0]["rescore"] == "auto"
    (once,) = (
        v
        for v in every
        if (v.model, v.order, v.mode) == ("bundled", "blend", "hybrid")
        and v.settings[0].get("fusion", "rrf") == "rrf"
    )
    assert once.settings[0]["rescore"] == "none"
    ranked, plain = first.ranked_ids(0), once.ranked_ids(0)
    changed = {q for q in names if ranked[q] != plain[q]}
    assert changed
    assert changed <= {q for q in names if is_question(texts[q])}
    for query in names[:6]:
        found = index.search(texts[query], top_k=None, candidates=30)
        assert ranked[query] == [r.id for r in found.results]
    study = analyze(collect(index, mixed, depths=[30]))
    (line,) = (s for s in summary_sentences(study) if s.startswith("Read again by"))
    assert line.startswith("Read again by bundled-full for questions, the first of the")
    keywords = {q: t for q, t in texts.items() if not is_question(t)}
    assert len(keywords) >= len(names) // 2
    alone = replace(data, collection=replace(mixed, queries=keywords))
    assert not rescored_variants(
        alone, Objective(alone.collection.qrels), model="bundled", mode="hybrid", depth=30
    )
    assert not collect(index, mixed, depths=[5], rescore=["none"]).rescored


def test_a_search_by_tuned_weights_has_the_order_that_was_measured(
    index: Index, collection: Collection
) -> None:
    data = collect(
        index,
        collection,
        depths=[10, 30],
        first_stages=FIRST_STAGES,
        rescore=["bundled-tiny"],
    )
    assert data.latencies is not None
    assert set(data.latencies.neighbors) == {10, 30}
    assert data.latencies.reranker["bundled rescored by bundled-tiny", 30].median > 0
    every = list_variants(data, Objective(data.collection.qrels))
    near = [v for v in every if v.order == WITH_NEIGHBORS]
    again = [v for v in every if v.rescorer == "bundled-tiny"]
    for variants in (near, again):
        assert {(v.mode, v.depth) for v in variants} == {
            (mode, depth) for mode in ("hybrid", "bm25") for depth in (10, 30)
        }
    chooser = np.random.default_rng(0)
    for variant in (*near, *again):
        setting = int(chooser.integers(len(variant.settings)))
        settings = variant.settings[setting]
        part = "neighbors" if variant.rescorer is None else "rescore"
        ranked = variant.ranked_ids(setting)
        for query in chooser.choice(list(ranked), 4, replace=False):
            found = index.search(data.collection.queries[query], top_k=None, **settings)
            assert part in found.results[0].parts
            assert ranked[query] == [r.id for r in found.results]
