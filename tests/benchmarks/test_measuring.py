"""The whole way from pools to tables and bars, on collections with a known answer."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
from measuring.bars import reranker_bars
from measuring.comparison import compare, comparison_bars
from measuring.dump import dump
from measuring.judging import Judge
from measuring.subject import Subject
from measuring.suite import Member
from measuring.tables import comparison_table, document, fusion_verdict
from measuring.values import ALONE, CONTROL, FIRST, FUSED, Measured, measure

from secondpass.evaluate.score_matrix import ScoreMatrix
from tests.evaluate.random_score_matrix import random_pool

DEFAULT = {"rerank": 1.0, "vector": 1.0, "bm25": 0.5}


def qrels(pool: ScoreMatrix) -> dict[str, dict[str, int]]:
    return {
        query: {name: int(grade) for name, grade in zip(names, grades, strict=False)}
        for query, names, grades in zip(pool.queries, pool.ids, pool.grades, strict=True)
    }


def made(name: str, seed: int, informative: tuple[float, float, float]) -> Subject:
    pool = random_pool(seed, informative)
    return Subject(
        name,
        Member(familiar=name == "c", given="a run" if name == "b" else None),
        Judge(qrels(pool)),
        {"bm25": pool, "hybrid": pool},
        {},
        0,
    )


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    return [made(name, seed, (1.0, 0.5, 0.0)) for seed, name in enumerate("abc")]


@pytest.fixture(scope="module")
def measured(subjects: list[Subject]) -> Measured:
    return measure(subjects, 20, DEFAULT)


def test_a_reranker_that_knows_wins_over_everything_else(measured: Measured) -> None:
    for setting in ("bm25", "hybrid"):
        means = {s: measured.mean(setting, s) for s in (FIRST, ALONE, FUSED, CONTROL)}
        assert means[FUSED] > means[ALONE] > means[CONTROL] > means[FIRST]
        assert means[FUSED] > 0.95
    assert all(bar.met is not False for bar in reranker_bars(measured))
    assert measured.recall["bm25"] == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_what_cosine_and_bm25_gain_alone_is_said_apart() -> None:
    subjects = [made(name, seed, (0.0, 1.0, 0.0)) for seed, name in enumerate("abc")]
    found = measure(subjects, 20, DEFAULT)
    bars = list(reranker_bars(found))
    notes = [bar.text for bar in bars if bar.met is None]
    assert bars[0].met
    assert sum("the reranker adds +0.0" in n or "adds -0.0" in n for n in notes) == 2
    assert any("on the 2 collections that hybrid search was done on" in n for n in notes)


def test_a_reranker_that_misleads_is_caught() -> None:
    # On "a" the truth is the opposite of what holds on the others.
    odd = [
        made("a", 0, (-1.0, 1.0, 0.0)),
        *(made(name, seed, (1.0, 0.0, 0.0)) for seed, name in ((1, "b"), (2, "c"))),
    ]
    found = measure(odd, 20, DEFAULT)
    assert found.fits[FUSED].held["a"]["rerank"] == 1.0
    gain = found.values["bm25"][FUSED]["a"].mean() - found.values["bm25"][FIRST]["a"].mean()
    assert gain < -0.01
    missed = [bar.text for bar in reranker_bars(found) if bar.met is False]
    assert any("worst collection a" in text for text in missed)


def test_the_tables_hold_every_collection_and_read_as_markdown(measured: Measured) -> None:
    text = document(measured, 20, "made by a test")
    for line in ("| a (30) |", "| **mean of 3** |", "| none: to ship |", "made by a test"):
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
    assert fusion_verdict(measured).startswith("Clearly better than z-scores:")


def test_everything_can_be_written_as_json(subjects: list[Subject], measured: Measured) -> None:
    queries: Mapping[str, list[str]] = {s.name: s.judge.queries for s in subjects}
    whole = json.loads(json.dumps(dump(measured, queries, list(reranker_bars(measured)), [])))
    values = whole["ndcg10"]["bm25"][FUSED]["a"]
    assert np.mean(list(values.values())) == pytest.approx(
        measured.values["bm25"][FUSED]["a"].mean()
    )
    assert set(whole["weights"]["fused"]["held"]) == {"a", "b", "c"}


def test_a_model_compared_with_itself_does_not_differ(
    subjects: list[Subject], measured: Measured
) -> None:
    same = compare(subjects, subjects, measured.fits[FUSED])
    assert all(d.one == d.other and d.overlap == pytest.approx(1.0) for d in same)
    assert all(bar.met for bar in comparison_bars(same, 0.0, 0.95))
    assert len(comparison_table(same, "one", "other")) == 2 + 4


def test_a_single_collection_is_weighed_by_the_default(subjects: list[Subject]) -> None:
    alone = measure(subjects[:1], 20, DEFAULT)
    assert alone.fits[FUSED].held == {"a": DEFAULT}
    assert alone.fits[CONTROL].held == {"a": {"vector": 1.0, "bm25": 0.5}}
    assert "to ship" not in document(alone, 20, "")


def test_without_a_reranker_the_control_is_the_subject(subjects: list[Subject]) -> None:
    bare = []
    for s in subjects:
        columns = {n: c for n, c in s.pools["bm25"].columns.items() if n != "rerank"}
        pool = ScoreMatrix(**{**vars(s.pools["bm25"]), "columns": columns})
        bare.append(Subject(s.name, s.member, s.judge, {"bm25": pool, "hybrid": pool}, {}, 0))
    found = measure(bare, 20, DEFAULT)
    assert set(found.values["bm25"]) == {FIRST, CONTROL}
    assert "reranker alone" not in document(found, 20, "")
