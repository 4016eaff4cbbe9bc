"""--budget-ms, --cascade, --rescore, --cache and --exits, of both commands that rerank."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run

QUERY = "When did the oil crisis begin?"
LINES = b"\n".join(b"The oil crisis began in year %d." % n for n in range(30)) + b"\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "secondpass" / "scores.sqlite"


def test_a_search_with_all_of_them(run: Run, sample_index: Path, cache: Path) -> None:
    ran = run(
        *("search", QUERY, "--index", sample_index, "--candidates", 40, "--json"),
        *("--budget-ms", 80, "--cascade", "--cache"),
    )
    assert ran.code == 0
    usage = ran.json["usage"]
    assert 1 <= usage["scored"] <= usage["documents"] == 40
    assert (ran.json["status"] == "partially_reranked") == (usage["scored"] < 40)
    # What the cheap model had no time for, the full one may have scored.
    assert usage["scored"] == 40 or ran.json["reason"] is not None
    assert {r["scored"] for r in ran.json["results"]} <= {True, False}
    assert cache.is_file()


def test_a_budget_that_is_too_small_is_told(run: Run, sample_index: Path) -> None:
    ran = run("search", QUERY, "--index", sample_index, "--budget-ms", 0.001, "--explain")
    assert ran.code == 0
    assert "partially_reranked" in ran.err
    assert "4 scored" in ran.err
    assert "bundled scored 4 of 50 in 0.001 ms" in ran.err


def test_what_a_run_kept_the_next_one_reads(run: Run, cache: Path) -> None:
    assert not cache.exists()
    first = run("rerank", QUERY, "--cache", "--json", stdin=LINES).json
    again = run("rerank", QUERY, "--cache", "--json", stdin=LINES).json
    assert again["results"] == first["results"]
    assert (first["usage"]["pairs"], again["usage"]["pairs"]) == (30, 0)
    assert first["usage"]["scored"] == again["usage"]["scored"] == 30


def test_a_cascade_of_lines(run: Run) -> None:
    ran = run("rerank", QUERY, "--cascade", "--top-k", 3, "--json", stdin=LINES)
    assert ran.code == 0
    assert ran.json["usage"]["scored"] >= 10
    assert all(r["scored"] for r in ran.json["results"])


def test_the_first_results_are_rescored(run: Run, sample_index: Path) -> None:
    ran = run(
        *("search", QUERY, "--index", sample_index, "--top-k", 12, "--json"),
        *("--rescore", "bundled-full", "--rescore-window", 10),
    )
    assert ran.code == 0
    added = [r["parts"]["rescore"] for r in ran.json["results"]]
    assert min(added[:10]) == 0 < max(added[:10])
    assert added[10:] == [0, 0]
    assert ran.json["usage"]["pairs"] == 60


def test_exits_read_less_for_the_same_top(run: Run, sample_index: Path) -> None:
    # A blend may also lift what only the first pass puts first.
    ask = ("search", QUERY, "--index", sample_index, "--top-k", 3, "--json", "--no-blend")
    whole, early = run(*ask).json, run(*ask, "--exits").json
    assert [r["id"] for r in early["results"]] == [r["id"] for r in whole["results"]]
    assert 3 <= early["usage"]["scored"] < whole["usage"]["scored"] == 50
    # Kept scores are those of what was read, and are enough the next time.
    kept = [run(*ask, "--exits", "--cache").json for _ in range(2)]
    assert [r["id"] for r in kept[1]["results"]] == [r["id"] for r in whole["results"]]
    assert kept[1]["usage"]["scored"] < 50


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--budget-ms", "0"], 2, "above 0"),
        (["--budget-ms", "-5"], 2, "above 0"),
        (["--budget-ms", "soon"], 2, "soon"),
        (["--model", "bundled-tiny", "--cascade"], 2, "No margin is known"),
        (["--no-rerank", "--cascade"], 2, "--no-rerank"),
        (["--no-rerank", "--exits"], 2, "--no-rerank"),
        (["--no-rerank", "--rescore", "bundled-full"], 2, "--no-rerank"),
        (["--rescore", "bundled-ful"], 1, "bundled-full"),
        (["--rescore", "bundled-full", "--rescore-window", "1"], 2, "at least 2"),
        (["--model", "cohere/rerank-v3.5", "--exits"], 2, "models that run here"),
        (["--model", "openai/gpt-5-mini", "--exits"], 2, "models that run here"),
    ],
)
def test_errors(
    run: Run, sample_index: Path, options: list[str], code: int, message: str
) -> None:
    ran = run("search", QUERY, "--index", sample_index, *options)
    assert ran.code == code
    assert message in ran.err
    assert ran.out == ""
