"""Costs of an index: recombined passages, the cost model, the plot, the page, small states."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scale import state_codes
from scale.build_index import Stopwatch
from scale.cost_model import (
    Curve,
    estimate,
    fit,
    fit_bound,
    fit_model,
    fit_searches,
    held_out,
    read_model,
    write_model,
)
from scale.log_plot import Series, decades, log_plot
from scale.recombined import RecombinedPassages, join_halves, make_records
from scale.scale_page import BEGIN, END, STATE_BYTES, plot, render, replace_block

from secondpass.rerank.precomputed.record_formats import COMPACT
from secondpass.rerank.precomputed.types import Record, record_key
from secondpass.retrieve.store_protocol import Passage


def row(kind: str, passages: int, **more: Any) -> dict[str, Any]:
    parts = dict.fromkeys(("commit", "text index", "merge"), passages / 1000)
    common = {"kind": kind, "place": "local", "passages": passages, "load": 1.0, "cores": 2}
    if kind == "build":
        built = {
            "encoded": 100,
            "states": 100,
            "seconds": {**parts, "states": 1.0},
            "processor": {**parts, "states": 1.0},
            "bytes": {
                "text": 500 * passages,
                "vectors": 1536 * passages,
                "text index": 200 * passages,
                "vector index": 0,
                "states": 20_000 * 100,
            },
            "small_commit": 0.1,
            "peak_bytes": 10**8,
            "encoding": {"passages": 100, "processor": 2.0},
        }
        return {**common, **built, **more}
    warm = {
        "bm25 50": (1.0, 2.0, passages / 10_000),
        "hybrid+rerank 50": (20.0, 30.0, 20.0),
    }
    fresh = {"fresh": {"bm25": (900.0, 800.0)}, "cold": {"bm25": (1900.0, 850.0)}}
    return {**common, "warm": warm, **fresh, "recall": 0.99, "peak_bytes": 3 * 10**8}


ROWS = [row(kind, size) for size in (1_000, 10_000, 100_000) for kind in ("build", "search")]


def test_the_model_finds_what_grows() -> None:
    model = fit_model(ROWS, STATE_BYTES)
    assert model.measured == 100_000
    assert model.milliseconds["bm25 50"].form == "linear"
    assert model.milliseconds["bm25 50"].at(1e9) == pytest.approx(1e5, rel=0.01)
    assert model.milliseconds["hybrid+rerank 50"].at(1e9) == pytest.approx(20, rel=0.01)
    assert sum(model.bytes.values()) == 500 + 1536 + 200
    small, large = (estimate(model, n, states="compact", rate=1) for n in (1e4, 1e9))
    assert (small.machines, small.extrapolated) == (1, False)
    assert large.extrapolated
    assert large.machines >= large.disk_bytes / 1e12
    none = estimate(model, 1e4, states="none")
    assert none.disk_bytes < small.disk_bytes < estimate(model, 1e4).disk_bytes
    assert none.ingest_hours < small.ingest_hours


def test_machines_have_all_tables_and_a_share_of_the_states() -> None:
    model = fit_model(ROWS, STATE_BYTES)
    # 2,236 bytes of tables a passage, twice, and 18,866 of states.
    for disk, machines in ((25e9, 1), (15e9, 2), (7e9, 8)):
        assert estimate(model, 1e6, disk=disk).machines == machines
    assert estimate(model, 1e6, disk=7e9, states="none").machines == 1
    assert estimate(model, 1e6, disk=4e9, states="none").indexes == 2
    assert estimate(model, 1e9, disk=1e15).indexes == 1e9 / (100 * model.measured)
    # 20 ms of reading by a model of constants: 400 a second keep 8 of 16 cores busy.
    assert estimate(model, 1e6, rate=400, cores=16).machines == 1
    assert estimate(model, 1e6, rate=900, cores=16).machines == 3
    with pytest.raises(ValueError, match=r"takes 0\.3 GB"):
        estimate(model, 10, memory=2e8)


def test_what_a_forecast_missed_is_known() -> None:
    missed = held_out([1e4, 1e5, 1e6], {"bm25 50": [10.0, 10.0, 20.0]})
    assert missed == {"bm25 50": pytest.approx(-0.5)}
    assert held_out([1e4], {"bm25 50": [10.0]}) == {"bm25 50": 0.0}


def test_reading_candidates_adds_the_same_to_each_size() -> None:
    times = {"hybrid 50": [10.0, 20.0, 30.0], "hybrid+rerank 50": [110.0, 122.0, 128.0]}
    curves = fit_searches([1e4, 1e5, 1e6], times)
    for size in (1e4, 1e9):
        with_reading, without = (
            curves["hybrid+rerank 50"].at(size),
            curves["hybrid 50"].at(size),
        )
        assert with_reading - without == pytest.approx(100)
    assert curves["hybrid+rerank 50"].error == pytest.approx(2 / 122, rel=0.01)
    assert [curve.form for curve in curves.values()] == ["log", "log"]
    worst = fit_searches([1e4, 1e5, 1e6], times, fit_bound)
    assert worst["hybrid 50"].at(1e9) > 100 * curves["hybrid 50"].at(1e9)


def test_small_commits_take_longer_in_a_larger_index() -> None:
    rows = [{**r, "small_commit": r["passages"] / 1e6} if "encoded" in r else r for r in ROWS]
    model = fit_model(rows, STATE_BYTES)
    each = sum(model.seconds.values())
    assert model.ingest_hours(1e6) * 3600 == pytest.approx(1e6 * (each + 0.5 / 64), rel=0.01)


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = fit_model(ROWS, STATE_BYTES)
    write_model(model, tmp_path / "model.json")
    assert read_model(tmp_path / "model.json") == model


@given(st.floats(0, 100), st.floats(0.001, 10))
def test_curves_are_found_again(a: float, b: float) -> None:
    sizes = [1e3, 1e4, 1e5, 1e6]
    for form in ("linear", "log"):
        curve = Curve(form, a, b, 0.0)
        found = fit(sizes, [curve.at(n) for n in sizes])
        assert found.error < 1e-6
        assert found.at(1e7) == pytest.approx(curve.at(1e7), rel=1e-3)
    assert fit([5.0], [3.0]).at(1e9) == 3.0


def test_a_cost_never_falls_as_an_index_grows() -> None:
    assert fit([1e4, 1e5], [3.0, 1.0]).at(1e9) == 2.0


def test_the_page_has_every_part_and_the_plot_is_valid() -> None:
    model = fit_model(ROWS, STATE_BYTES)
    text = render(ROWS, model)
    for title in ("Ingestion", "Bytes", "Searches", "The model", "Three scenarios"):
        assert f"### {title}" in text
    assert "busy" not in text
    assert "**Measured on a busy machine**" in render([{**r, "load": 9.0} for r in ROWS], model)
    assert replace_block(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="has no"):
        replace_block("nothing", "new")
    tree = ElementTree.fromstring(plot(ROWS, model))
    assert len(tree.findall("{*}polyline")) == len(model.milliseconds)


def test_searches_are_not_extrapolated_from_small_indexes() -> None:
    small = ROWS[:4]
    model = fit_model(small, STATE_BYTES)
    text = render(small, model)
    assert "Three scenarios" not in text
    assert "not extrapolated from 10,000 passages" in text
    assert "| 1,000,000 (extrapolated) |" in text
    ElementTree.fromstring(plot(small, model))


def test_a_plot_of_nothing_is_valid() -> None:
    ElementTree.fromstring(log_plot([Series("<&", [], [])], "x", "y"))
    assert decades([]) == (0, 1)
    assert decades([10.0]) == (1, 2)


class Encoded:
    """Three encoded passages."""

    passages = (
        Passage("0", "a b c d", "one"),
        Passage("1", "e f", None),
        Passage("2", "g", "three"),
    )
    vectors = np.eye(3, 4, dtype=np.float32)


def test_recombined_passages_are_always_the_same() -> None:
    texts = [(None, "x"), (None, "y"), (None, "z"), ("four", "p q"), ("five", "r s")]
    rows = RecombinedPassages(Encoded(), texts)  # type: ignore[arg-type]
    whole = rows.batch(0, 20)
    parts = [*rows.batch(0, 2), *rows.batch(2, 11), *rows.batch(11, 20)]
    assert [p.text for p in whole] == [p.text for p in parts]
    assert [p.doc_id for p in whole] == [str(n) for n in range(20)]
    for one, other in zip(whole, parts, strict=True):
        assert one.embedding is not None
        np.testing.assert_array_equal(one.embedding, other.embedding)
        assert np.linalg.norm(one.embedding) == pytest.approx(1)
    assert [p.text for p in whole[:3]] == [p.text for p in Encoded.passages]
    assert [(p.title, p.text) for p in whole[3:5]] == texts[3:]
    assert join_halves("a b c", "d e f g") == "a b f g"
    assert join_halves("", "x") == "x"


def record(tokens: int = 40) -> Record:
    numbers = np.random.default_rng(tokens)
    embedding = numbers.normal(size=384).astype(np.float32)
    return Record(
        numbers.normal(size=(tokens, 128)).clip(-4, 4).__mul__(30).astype(np.int8),
        np.ones(tokens, np.float16),
        embedding / np.linalg.norm(embedding),
    )


def test_made_up_records_have_the_length_of_their_window() -> None:
    sequences = [(np.arange(n), np.zeros(n, np.int64)) for n in (3, 50)]
    made = make_records(sequences, [record(7)])
    assert [key for key, _ in made] == [record_key(s) for s in sequences]
    assert [r.tokens for _, r in made] == [3, 50]


@pytest.mark.parametrize(
    "codec",
    [
        state_codes.bits(2),
        state_codes.bits(2, centered=True),
        state_codes.pooled(2, 4),
        state_codes.without_near(0.5, 4),
        state_codes.without_tokens("some", {1, 2}, 3),
        state_codes.projected(64, np.eye(128, dtype=np.float32), 4),
    ],
    ids=lambda codec: codec.name,
)
def test_small_states_are_smaller_and_readable(codec: state_codes.Codec) -> None:
    whole, ids = record(), np.arange(40)
    assert codec.size(whole, ids) < state_codes.full_size(whole) * 0.6
    changed = codec.change(whole, ids)
    assert 1 <= changed.tokens <= whole.tokens
    assert changed.codes.shape == (changed.tokens, 128)


def test_two_bits_in_the_comparison_are_those_of_the_index() -> None:
    whole, ids = record(), np.arange(40)
    codec = state_codes.bits(2)
    ours = state_codes.states_of(codec.change(whole, ids))
    stored = state_codes.states_of(COMPACT.as_stored(whole))
    # A code on the border between two levels may go to either.
    assert (np.abs(ours - stored) > 0.02 * np.abs(stored).max()).mean() < 0.005
    assert codec.size(whole, ids) == pytest.approx(len(COMPACT.pack(whole)), abs=2)


def test_a_stopwatch_counts_an_index_built_inside_a_commit_once() -> None:
    watch = Stopwatch()
    watch.seconds = {"upsert": 5.0, "text index": 2.0, "merge": 4.0, "vector index": 3.0}
    assert watch.parts("seconds") == {
        "text index": 2.0,
        "merge": 1.0,
        "vector index": 3.0,
        "commit": 3.0,
    }
