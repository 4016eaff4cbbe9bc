from __future__ import annotations

import pytest

from tests.cli.conftest import Run


def test_rates_of_made_up_texts(run: Run) -> None:
    ran = run("bench", "--candidates", 4, "--words", 12, "--rounds", 2, "--json")
    assert ran.code == 0
    rates = ran.json["rates"]
    assert (rates["documents"], rates["rounds"]) == (4, 2)
    assert rates["p95"] >= rates["p50"] > 0
    assert ran.json["profile"] is None
    assert ran.json["peak_operations_per_second"] is None


def test_shares_of_a_file(run: Run) -> None:
    texts = b'{"text": "A ship at sea."}\n{"text": "The blue river."}\n'
    asked = ("bench", "-", "--query", "Which river?", "--rounds", 1, "--profile")
    ran = run(*asked, "--json", stdin=texts)
    phases = ran.json["profile"]["phases"]
    assert [p["documents"] for p in phases] == [2, 2]
    assert set(ran.json["peak_operations_per_second"]) == {"int8", "fp32"}
    assert set(ran.json["instruction_operations_per_second"]) == {"int8", "fp32"}
    printed = run(*asked, stdin=texts).out
    assert "tokenise" in printed
    assert "billion" in printed


@pytest.mark.parametrize("stdin", [b"", b"\n \n"])
def test_nothing_to_rank_is_an_error(run: Run, stdin: bytes) -> None:
    ran = run("bench", "-", stdin=stdin)
    assert ran.code == 2
    assert "no documents to rank" in ran.err.lower()
