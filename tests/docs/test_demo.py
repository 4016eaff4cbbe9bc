"""What `make demo` shows: three questions before and after, and all of them counted."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.docs.paths import ROOT

DEMO: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "demo.py"))


def outcome(before: int | None, after: int | None) -> Any:
    return DEMO["Outcome"](before, after, 0.6, (0.2, 0.01), 10.0, 30.0)


def test_the_demo_shows_both_orders_and_counts_all_questions(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DEMO["main"](["--index", str(workplace / "demo-index")])
    said = capsys.readouterr().out
    shown, summary = said.split("All 136 questions")
    assert len(re.findall(r"^“.+”$", shown, re.MULTILINE)) == 3
    # The captions are computed; a new model may need other questions.
    assert shown.count("rises from 2 to 1") == 2
    assert shown.count("the second pass does harm") == 1
    assert "Henry Cole, the museum's first director" in " ".join(shown.split())
    helped, harmed, alone = (
        int(re.search(rf"^ +(\d+) {word}", summary, re.MULTILINE)[1])  # type: ignore[index]
        for word in ("helped", "harmed", "left alone")
    )
    assert helped + harmed + alone == 136
    assert helped > harmed > 0
    assert "of 136 right paragraphs" in summary


def test_questions_are_counted_by_the_place_of_the_right_paragraph() -> None:
    outcomes = [outcome(1, 1), outcome(3, 1), outcome(1, 2), outcome(5, 5), outcome(None, None)]
    assert DEMO["count"](outcomes) == {
        "helped": 1,
        "harmed": 1,
        "unchanged": 3,
        "unchanged_top": 1,
        "top_before": 2,
        "top_after": 2,
        "missed": 1,
    }
    says = DEMO["say_change"]
    assert "stays at 5" in says(outcome(5, 5))
    assert "did not find" in says(outcome(None, None))
    lines = DEMO["explain_probability"]([outcome(1, 1)])
    assert any("from 0.5   1 of 1 right paragraphs, 0 of 2 others" in line for line in lines)
    assert any("from 0.2   1 of 1 right paragraphs, 1 of 2 others" in line for line in lines)
