from __future__ import annotations

from pathlib import Path

import pytest

from secondpass import InputError
from secondpass.evaluate.queries import read_queries


def test_queries_one_a_line_are_named_by_their_lines(tmp_path: Path) -> None:
    plain = tmp_path / "queries.txt"
    plain.write_text("plain words\n\nothers\n", "utf-8")
    assert read_queries(plain) == {"q1": "plain words", "q3": "others"}
    plain.write_text("plain words\nid\ttext\n", "utf-8")
    with pytest.raises(InputError, match="line 1"):
        read_queries(plain)


def test_queries_from_tabs_and_json(tmp_path: Path) -> None:
    tabs, lines = tmp_path / "q.tsv", tmp_path / "q.jsonl"
    tabs.write_text("1\tone\n2\ttwo words\n", "utf-8")
    lines.write_text(
        '{"query_id": 1, "query": "one"}\n{"id": "2", "text": "two words"}\n', "utf-8"
    )
    assert read_queries(tabs) == read_queries(lines) == {"1": "one", "2": "two words"}
    lines.write_text('{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}\n', "utf-8")
    with pytest.raises(InputError, match="two texts"):
        read_queries(lines)
