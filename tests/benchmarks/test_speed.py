"""The speed suite: candidates, agreement, workers, rounds, bars and the page."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speed import worker_client
from speed.agreement import compare_scores
from speed.bm25 import Bm25
from speed.docs_page import PAGE, markers, replace_block
from speed.engines import (
    ENGINES,
    KEPT,
    NEW,
    OURS,
    OURS_OPENVINO,
    OURS_ORT,
    PRUNED,
    TORCH,
    EngineSettings,
    secondpass_engine,
)
from speed.machine import OtherLoad, machine
from speed.recipes import int8_recipe
from speed.results import Result
from speed.rounds import run, steps
from speed.stage_profile import operators_line, reach_table, shares_table
from speed.tables import workload_table
from speed.targets import targets
from speed.worker_client import Worker
from speed.workloads import Queries, Query, Workload, plan

from secondpass.inference.native.library import load_library
from secondpass.inference.runtimes import ENVIRONMENT

TEXTS = ["The river is long.", "A ship on the sea, the sea.", "Bread and butter.", "The sea."]
HUNDRED = Workload("sample", 100, 1, 2)


def test_candidates_are_the_best_by_their_words_and_enough() -> None:
    search = Bm25(TEXTS)
    assert search.top("sea ship", 2) == [1, 3]
    assert search.top("nothing of it", 3) == [0, 1, 2]
    assert search.top("sea", 99) == [3, 1, 0, 2]


@given(
    st.lists(st.text("ab ", max_size=9), min_size=1, max_size=9),
    st.text("ab "),
    st.integers(1, 12),
)
def test_candidates_are_distinct(texts: list[str], query: str, depth: int) -> None:
    found = Bm25(texts).top(query, depth)
    assert len(found) == len(set(found)) == min(depth, len(texts))


def test_equal_scores_agree_and_reversed_ones_do_not() -> None:
    scores = [0.5 * i for i in range(20)]
    assert vars(compare_scores(scores, scores)) == {
        "top": 1.0,
        "overlap": pytest.approx(1.0),
        "difference": 0.0,
    }
    other = compare_scores(scores, scores[::-1])
    assert other.top == 0.0
    assert other.overlap < 0.5
    assert other.difference == 9.5


def test_the_plan_is_small_before_large_and_main_first() -> None:
    loads = plan(["squad-dev", "scifact"], [1000, 20, 100], quick=False)
    assert [w.candidates for w in loads if w.collection == "scifact"] == [20, 100]
    main = [(w.candidates, w.clients) for w in loads if w.collection == "squad-dev"]
    assert main == [(1, 1), (20, 1), (100, 1), (1000, 1), (20, 8)]
    assert loads[0].collection == "squad-dev"
    assert [w.candidates for w in plan(["sample"], [20], quick=True)] == [1, 20, 20]


def test_each_round_has_other_queries_than_the_last() -> None:
    queries = Queries("sample")
    load = Workload("sample", 3, 2, 2)
    rounds = [list(queries.of_round(load, turn)) for turn in range(2)]
    assert [len(r) for r in rounds] == [4, 4]
    assert not {q.text for q in rounds[0]} & {q.text for q in rounds[1]}
    assert all(len(q.candidates) == 3 for r in rounds for q in r)


@pytest.mark.parametrize(
    ("features", "recipe"),
    [
        ([], "avx2"),
        (["avx2"], "avx2"),
        (["avx2", "avx512f", "avx512_vnni"], "avx512_vnni"),
        (["avx2", "avx512f"], "avx512"),
        (["asimddp"], "arm64"),
    ],
)
def test_the_int8_recipe_is_the_processors(features: list[str], recipe: str) -> None:
    assert int8_recipe(features) == recipe


def result(engine: str, size: int, rate: float, peak: float = 300.0) -> Result:
    found = Result(engine, Workload("sample", size, 1, 2), peak=peak)
    found.rates, found.seconds = [rate] * 3, [size / rate] * 3
    return found


def outcomes(results: Sequence[Result]) -> list[bool | None]:
    return [target.met for target in targets(results, "sample")]


def test_promises_are_met_not_met_or_not_measured() -> None:
    assert outcomes([]) == [None] * 10
    results = [
        *(result(OURS, n, 500, peak) for n, peak in ((1, 290), (100, 300), (1000, 320))),
        *(result(TORCH, n, 100, 900) for n in (1, 100)),
        result("fastembed", 1, 120, 200),
        result("fastembed", 100, 250, 250),
        result(KEPT, 100, 2000),
        result(KEPT, 1000, 2000),
    ]
    assert outcomes(results) == [True, True, None, None, True, None, True, True, True, True]
    results[4].rates[:] = [101.0] * 3
    results[2].peak = 9000.0
    results[8].seconds[:] = [1.5]
    results.append(result(PRUNED, 100, 760))
    assert outcomes(results) == [
        False,
        True,
        False,
        True,
        True,
        None,
        True,
        False,
        False,
        False,
    ]


def test_no_peer_may_be_ahead_with_several_clients() -> None:
    eight = Workload("sample", 20, 8, 2)
    rows = []
    for engine, rate, seconds in ((OURS, 100.0, 0.5), ("fastembed", 90.0, 0.4)):
        rows.append(Result(engine, eight, peak=300.0))
        rows[-1].rates, rows[-1].seconds = [rate], [seconds]
    assert [met for met in outcomes(rows) if met is not None] == [False]
    rows[1].seconds = [0.6]
    assert [met for met in outcomes(rows) if met is not None] == [True]
    rows[1].rates = [110.0]
    assert [met for met in outcomes(rows) if met is not None] == [False]


def test_a_failed_engine_is_in_the_table_with_its_reason() -> None:
    failed = Result("flashrank", HUNDRED, error="MemoryError: a | b")
    text = "\n".join(workload_table([result(TORCH, 100, 10.0), failed], HUNDRED))
    assert "failed: MemoryError: a / b" in text
    assert ENGINES[TORCH].about in text


def test_the_page_keeps_what_is_around_the_block() -> None:
    begin, end = markers("avx2")
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    assert replace_block(page, "avx2", "new") == f"before\n{begin}\nnew\n{end}\nafter\n"
    assert replace_block(replace_block(page, "avx2", "new"), "avx2", "old") == page
    with pytest.raises(ValueError, match="measured, avx512vnni: begin"):
        replace_block(page, "avx512vnni", "text")


@pytest.mark.parametrize("kernels", ["avx2", "avx512vnni"])
def test_the_page_has_a_block_and_a_picture_for_each_kind_of_processor(kernels: str) -> None:
    page = PAGE.read_text("utf-8")
    begin, end = markers(kernels)
    assert page.count(begin) == page.count(end) == 1
    assert page.index(begin) < page.index(end)
    assert (PAGE.parent / f"speed-{kernels}.svg").is_file()


def test_other_load_is_that_of_other_processes() -> None:
    mine, ends = OtherLoad(), time.monotonic() + 0.5
    while time.monotonic() < ends:
        pass
    # Its own work is not in it: the loop alone would be a whole core.
    busy = os.cpu_count() or 1
    assert 0 <= mine.cores() <= busy


def test_workers_answer_in_rounds_and_say_when_they_cannot(tmp_path: Path) -> None:
    """The bundled reader in two modes; an engine without its model is absent."""
    settings = EngineSettings(tmp_path, threads=1, max_length=64)
    workers = [Worker(n, settings, memory=8, log=tmp_path / "log.txt") for n in (NEW, KEPT)]
    lost = Worker(OURS, settings, memory=8, log=tmp_path / "log.txt")
    try:
        assert lost.absent is not None
        assert "secondpass-int8" in lost.absent
        assert [w.absent for w in workers] == [None, None]
        assert all(w.load_megabytes > 30 for w in workers)
        both = [w.ask([Query("a ship at sea", tuple(TEXTS))] * 3, clients=3) for w in workers]
        for reply in both:
            assert len(reply["seconds"]) == len(reply["scores"]) == 3
            assert reply["scores"][0] == reply["scores"][1]
            assert reply["wall"] > 0
        new, kept = (reply["scores"][0] for reply in both)
        assert all(math.isclose(a, b, abs_tol=1e-4) for a, b in zip(new, kept, strict=True))
        # A query that cannot be ranked is an error of this request alone.
        assert "InputError" in workers[0].ask([Query("", ("text",))])["error"]
        loads = [Workload("sample", 3, 1, 1), Workload("sample", 2, 2, 1)]
        told: list[str] = []
        results = run(workers, loads, {"sample": Queries("sample")}, 2, told.append).results
        assert len(told) == steps(loads, workers, 2) == 8
        assert [(len(r.rates), len(r.seconds)) for r in results] == [(2, 2)] * 2 + [(2, 4)] * 2
        assert all(r.measured and r.peak and r.agreement() is None for r in results)
    finally:
        for worker in [*workers, lost]:
            worker.close()


def test_a_process_that_took_much_makes_room_and_is_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_client, "MAX_IDLE_MEGABYTES", 1.0)
    worker = Worker(NEW, EngineSettings(tmp_path, 1, 64), memory=8, log=tmp_path / "log.txt")
    try:
        asked = [Query("a ship at sea", tuple(TEXTS))]
        first, ended = worker.ask(asked), worker._process
        assert ended.returncode == 0
        again = worker.ask(asked)
        assert worker._process.pid != ended.pid
        assert again["scores"] == first["scores"]
    finally:
        worker.close()


def test_rows_of_ours_name_the_engine_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, str]] = []

    def reranker(folder: Path, **_: object) -> None:
        opened.append((folder.name, os.environ[ENVIRONMENT]))

    monkeypatch.setattr(secondpass_engine, "Reranker", reranker)
    monkeypatch.setattr(secondpass_engine, "find_spec", lambda _: object())
    monkeypatch.setenv(ENVIRONMENT, "openvino")
    for name in (OURS, OURS_ORT, OURS_OPENVINO, "secondpass-fp32"):
        getattr(secondpass_engine, ENGINES[name].factory)(EngineSettings(Path(), 1, 64))
    assert opened == [
        ("secondpass-int8", "native"),
        ("secondpass-int8", "onnxruntime"),
        ("secondpass-int8", "openvino"),
        ("secondpass-fp32", "native"),
    ]


def test_the_machine_says_which_kernels_of_our_own_run() -> None:
    library = load_library()
    assert machine(1)["own kernels"] == ("none" if library is None else library.name)


def test_shares_and_reach_are_laid_out_by_phase() -> None:
    phase = {
        "name": "query",
        "seconds": 2.0,
        "parts": {"tokenise": 0.5, "head": 1.5},
        "operations": {"int8": 10**9, "fp32": 0},
        "product_seconds": {"int8": 0.5, "fp32": 0.0},
        "operators": {"MatMulInteger": 0.5, "Add": 0.25},
    }
    found = {
        "model": {
            "profile": {"phases": [phase]},
            "peak_operations_per_second": {"int8": 8e9, "fp32": 4e9},
        }
    }
    assert "| tokenise | 25.0% |" in shares_table(found)
    assert reach_table(found)[2:] == ["| model, query | int8 | 25% | 2 | 8 | 25% |"]
    assert operators_line(found["model"]) == "MatMulInteger 25.0%, Add 12.5%"
