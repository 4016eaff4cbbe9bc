"""Rounds that are kept: a run that was ended goes on, and only where it may."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from speed.engines import OURS, TORCH
from speed.report import Report
from speed.results import CompletedRounds, Result
from speed.resume import conditions, load_rounds, save
from speed.rounds import run
from speed.workloads import Queries, Query, Workload

LOADS = [Workload("sample", 3, 1, 2), Workload("sample", 2, 2, 1)]
MACHINE = {"processor": "one", "packages": {"torch": "2.13.0"}, "instructions": ["avx2"]}


class Scripted:
    """Answers as an engine's process does; ends its `last` call as Ctrl-C would."""

    def __init__(self, name: str, last: int | None = None) -> None:
        self.name = name
        self.last = last

    def ask(self, queries: Sequence[Query], clients: int = 1) -> dict[str, Any]:
        if self.last is not None:
            self.last -= 1
            if self.last < 0:
                raise KeyboardInterrupt
        scores = [[len(t) / len(self.name) for t in q.candidates] for q in queries]
        seconds = [len(q.text) / 7 for q in queries]
        return {"seconds": seconds, "scores": scores, "wall": sum(seconds), "peak": 300.0}


@pytest.fixture(scope="module")
def queries() -> dict[str, Queries]:
    return {"sample": Queries("sample")}


def measured(queries: dict[str, Queries], rounds: int, **options: Any) -> CompletedRounds:
    last = options.pop("last", None)
    workers: Any = [Scripted(TORCH), Scripted(OURS, last)]
    return run(workers, LOADS, queries, rounds, lambda _: None, **options)


def same(queries: dict[str, Queries]) -> dict[str, object]:
    return conditions(Path("a/weights-256"), queries, LOADS, [TORCH, OURS])


def report(done: CompletedRounds, queries: dict[str, Queries]) -> Report:
    return Report(
        machine=MACHINE,
        conditions=same(queries),
        weights="weights",
        max_length=256,
        workloads=LOADS,
        done=done,
        lengths={"sample": [3, 4]},
        loaded={OURS: (1.0, 300.0)},
        absent={},
        profile_shares={},
        made_by="secondpass.",
    )


def rows(done: CompletedRounds) -> list[dict[str, Any]]:
    return [result.as_json() for result in done.results]


def test_rounds_that_were_kept_are_gone_on_from(
    tmp_path: Path, queries: dict[str, Queries]
) -> None:
    file, kept = tmp_path / "results.json", []

    def keep(done: CompletedRounds) -> None:
        save(file, report(done, queries))
        kept.append(json.loads(file.read_text())["rounds"])

    measured(queries, 2, save=keep)
    before = load_rounds(file, MACHINE, same(queries))
    assert len(before.seconds) == 2
    done = measured(queries, 3, done=before, save=keep)
    assert kept == [1, 2, 3]
    assert len(done.seconds) == 3
    # Each round asks others, so that they are right only if the third was the third.
    assert rows(done) == rows(measured(queries, 3))
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_of_an_interrupted_round_nothing_is_gone_on_from(
    tmp_path: Path, queries: dict[str, Queries], calls: int
) -> None:
    file = tmp_path / "results.json"
    done = measured(queries, 3, last=calls)
    assert len(done.seconds) == calls // 2
    # The second round begins with the engine whose third call is interrupted.
    assert done.rounds == f"{calls // 2}{'' if calls == 2 else ' and a part of one'}"
    save(file, report(done, queries))
    before = load_rounds(file, MACHINE, same(queries))
    assert len(before.seconds) == calls // 2
    assert rows(measured(queries, 3, done=before)) == rows(measured(queries, 3))


def test_an_engine_that_failed_is_not_asked_again(
    tmp_path: Path, queries: dict[str, Queries]
) -> None:
    done = measured(queries, 1)
    done.results[0].error = "MemoryError"
    save(tmp_path / "results.json", report(done, queries))
    before = load_rounds(tmp_path / "results.json", MACHINE, same(queries))
    again = measured(queries, 2, done=before)
    assert [len(result.rates) for result in again.results] == [1, 2, 2, 2]


def test_rounds_of_another_run_are_refused_and_it_is_said_why(
    tmp_path: Path, queries: dict[str, Queries]
) -> None:
    file = tmp_path / "results.json"
    save(file, report(measured(queries, 1), queries))
    other = {**MACHINE, "packages": {"torch": "2.14.0", "nncf": "3"}}
    with pytest.raises(ValueError, match=r"torch was 2\.13\.0, is 2\.14\.0.*nncf was absent"):
        load_rounds(file, other, same(queries))
    fewer = conditions(Path("weights-128"), queries, LOADS[:1], [OURS])
    with pytest.raises(ValueError, match=r"weights-256, is weights-128; .*was 1, is absent"):
        load_rounds(file, MACHINE, fewer)
    with pytest.raises(ValueError, match="No such file"):
        load_rounds(tmp_path / "absent.json", MACHINE, same(queries))
    for text in ("", "[]", "{}", '{"machine": 1, "conditions": {}}', file.read_text()[:-9]):
        file.write_text(text)
        with pytest.raises(ValueError, match="no results to resume from"):
            load_rounds(file, MACHINE, same(queries))


def test_no_round_begins_that_would_end_too_late(queries: dict[str, Queries]) -> None:
    assert CompletedRounds().another_fits(0)
    assert CompletedRounds([], [1.0, 9.0, 2.0]).another_fits(2.0)
    assert not CompletedRounds([], [1.0, 9.0, 2.0]).another_fits(1.9)
    assert len(measured(queries, 3, until=time.monotonic()).seconds) == 1
    assert len(measured(queries, 3, until=time.monotonic() + 3600).seconds) == 3
    before = CompletedRounds([Result(OURS, LOADS[0])], [5.0])
    assert measured(queries, 3, done=before, until=time.monotonic() + 1).seconds == [5.0]
