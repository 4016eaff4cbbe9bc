"""The quality benchmark from score matrices to tables and targets, with known results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from harness.comparison import compare, comparison_targets
from harness.evaluator import RankingEvaluator
from harness.json_report import results_as_json
from harness.results import (
    ALONE,
    CONTROL,
    FIRST,
    FUSED,
    WITH_NEIGHBORS,
    QualityResults,
    measure_quality,
)
from harness.scored_collection import ScoredCollection
from harness.suite import CollectionSettings
from harness.tables import comparison_table, fusion_verdict, render_report
from harness.targets import reranker_targets

from secondpass.evaluate.score_matrix import NEIGHBORS, ScoreMatrix
from tests.evaluate.random_score_matrix import random_pool

DEFAULT = {"rerank": 1.0, "vector": 1.0, "bm25": 0.5}


def qrels(pool: ScoreMatrix) -> dict[str, dict[str, int]]:
    return {
        query: {name: int(grade) for name, grade in zip(names, grades, strict=False)}
        for query, names, grades in zip(pool.queries, pool.ids, pool.grades, strict=True)
    }


def made(name: str, seed: int, informative: tuple[float, float, float]) -> ScoredCollection:
    pool = random_pool(seed, informative)
    return ScoredCollection(
        name,
        CollectionSettings(
            in_domain=name == "c", candidates_file="a run" if name == "b" else None
        ),
        RankingEvaluator(qrels(pool)),
        {"bm25": pool, "hybrid": pool},
        {},
        0,
    )


@pytest.fixture(scope="module")
def collections() -> list[ScoredCollection]:
    return [made(name, seed, (1.0, 0.5, 0.0)) for seed, name in enumerate("abc")]


@pytest.fixture(scope="module")
def results(collections: list[ScoredCollection]) -> QualityResults:
    return measure_quality(collections, 20, DEFAULT)


def test_a_reranker_that_knows_wins_over_everything_else(results: QualityResults) -> None:
    for setting in ("bm25", "hybrid"):
        means = {s: results.mean(setting, s) for s in (FIRST, ALONE, FUSED, CONTROL)}
        assert means[FUSED] > means[ALONE] > means[CONTROL] > means[FIRST]
        assert means[FUSED] > 0.95
    assert all(target.met is not False for target in reranker_targets(results))
    assert results.recall["bm25"] == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_what_cosine_and_bm25_gain_alone_is_said_apart() -> None:
    collections = [made(name, seed, (0.0, 1.0, 0.0)) for seed, name in enumerate("abc")]
    found = measure_quality(collections, 20, DEFAULT)
    targets = list(reranker_targets(found))
    notes = [target.text for target in targets if target.met is None]
    assert targets[0].met
    assert sum("the reranker adds +0.0" in n or "adds -0.0" in n for n in notes) == 2
    assert any("on the 2 collections that hybrid search was done on" in n for n in notes)


def test_a_reranker_that_misleads_is_caught() -> None:
    # On "a" the truth is the opposite of what holds on the others.
    odd = [
        made("a", 0, (-1.0, 1.0, 0.0)),
        *(made(name, seed, (1.0, 0.0, 0.0)) for seed, name in ((1, "b"), (2, "c"))),
    ]
    found = measure_quality(odd, 20, DEFAULT)
    assert found.fits[FUSED].held_out["a"]["rerank"] == 1.0
    gain = found.values["bm25"][FUSED]["a"].mean() - found.values["bm25"][FIRST]["a"].mean()
    assert gain < -0.01
    missed = [target.text for target in reranker_targets(found) if target.met is False]
    assert any("worst collection a" in text for text in missed)


def test_the_tables_hold_every_collection_and_read_as_markdown(results: QualityResults) -> None:
    text = render_report(results, 20, "made by a test")
    for line in ("| a (30) |", "| **mean of 3** |", "| none: all of them |", "made by a test"):
        assert line in text
    assert text.count("**mean of the 2 unlike the training data**") == 2
    assert text.count("**mean of the 2 searched**") == 1
    widths: dict[int, set[int]] = {}
    table = 0
    for line in text.splitlines():
        if line.startswith("|"):
            widths.setdefault(table, set()).add(line.count("|"))
        else:
            table += 1
    assert all(len(counts) == 1 for counts in widths.values())
    assert fusion_verdict(results).startswith("Clearly better than z-scores:")


def test_fused_with_neighbors_stands_beside_fused(
    collections: list[ScoredCollection], results: QualityResults
) -> None:
    assert WITH_NEIGHBORS not in results.values["bm25"]
    near = []
    for number, s in enumerate(collections):
        # The reranker knows as little as chance; neighbors know the truth but for some noise.
        pool = s.pools["bm25"]
        noise = np.random.default_rng(number).standard_normal((2, *pool.mask.shape))
        columns = {
            **pool.columns,
            "rerank": noise[0],
            NEIGHBORS: 2 * pool.grades + noise[1],
        }
        pool = ScoreMatrix(**{**vars(pool), "columns": columns})
        near.append(replace(s, pools={"bm25": pool, "hybrid": pool}))
    found = measure_quality(near, 20, DEFAULT)
    assert found.mean("bm25", WITH_NEIGHBORS) > found.mean("bm25", FUSED) + 0.1
    assert found.fits[WITH_NEIGHBORS].on_all_collections[NEIGHBORS] > 0
    notes = [t.text for t in reranker_targets(found) if t.met is None]
    assert sum("neighbors change the fused mean by +" in text for text in notes) == 2
    text = render_report(found, 20, "")
    assert text.count("| fused | fused with neighbors |") == 2
    assert "| with neighbors: rerank | vector | bm25 | neighbors |" in text
    (row,) = [line for line in text.splitlines() if "none: all of them" in line]
    assert row.count("|") == 1 + 1 + 3 + 2 + 4


def test_everything_can_be_written_as_json(
    collections: list[ScoredCollection], results: QualityResults
) -> None:
    queries: Mapping[str, list[str]] = {s.name: s.evaluator.queries for s in collections}
    whole = json.loads(
        json.dumps(results_as_json(results, queries, list(reranker_targets(results)), []))
    )
    values = whole["ndcg10"]["bm25"][FUSED]["a"]
    assert np.mean(list(values.values())) == pytest.approx(
        results.values["bm25"][FUSED]["a"].mean()
    )
    assert set(whole["weights"]["fused"]["held_out"]) == {"a", "b", "c"}


def test_a_model_compared_with_itself_does_not_differ(
    collections: list[ScoredCollection], results: QualityResults
) -> None:
    same = compare(collections, collections, results.fits[FUSED])
    assert all(d.one == d.other and d.overlap == pytest.approx(1.0) for d in same)
    assert all(target.met for target in comparison_targets(same, 0.0, 0.95))
    assert len(comparison_table(same, "one", "other")) == 2 + 4


def test_a_single_collection_is_weighed_by_the_default(
    collections: list[ScoredCollection],
) -> None:
    alone = measure_quality(collections[:1], 20, DEFAULT)
    assert alone.fits[FUSED].held_out == {"a": DEFAULT}
    assert alone.fits[CONTROL].held_out == {"a": {"vector": 1.0, "bm25": 0.5}}
    assert "all of them" not in render_report(alone, 20, "")


def test_without_a_reranker_the_control_is_the_subject(
    collections: list[ScoredCollection],
) -> None:
    bare = []
    for s in collections:
        columns = {n: c for n, c in s.pools["bm25"].columns.items() if n != "rerank"}
        pool = ScoreMatrix(**{**vars(s.pools["bm25"]), "columns": columns})
        bare.append(
            ScoredCollection(
                s.name,
                s.collection_settings,
                s.evaluator,
                {"bm25": pool, "hybrid": pool},
                {},
                0,
            )
        )
    found = measure_quality(bare, 20, DEFAULT)
    assert set(found.values["bm25"]) == {FIRST, CONTROL}
    assert "reranker alone" not in render_report(found, 20, "")
