from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import Document, InputError
from secondpass.evaluate.query_sampling import (
    STRATA,
    LoggedQuery,
    make_queries,
    read_query_log,
    sample_document_queries,
    sample_query_log,
)


def test_one_query_however_it_is_typed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        'Steam Engine\nsteam engine?\n{"query": "steam  engine", "count": 3}\n'
        "boiled rice\t2\n\n?!\ntab\tin it\n",
        "utf-8",
    )
    found = {q.text: q.count for q in read_query_log(log)}
    assert found == {"steam engine": 5, "boiled rice": 2, "tab in it": 1}


def test_strata_are_thirds_of_the_traffic(tmp_path: Path) -> None:
    log = tmp_path / "log"
    rows = ["top\t30", *(f"mid{i}\t10" for i in range(3)), *(f"rare{i}\t1" for i in range(30))]
    log.write_text("\n".join(rows), "utf-8")
    by = {name: [q.text for q in read_query_log(log) if q.stratum == name] for name in STRATA}
    assert by["head"] == ["top"]
    assert by["torso"] == ["mid0", "mid1", "mid2"]
    assert len(by["tail"]) == 30
    chosen = sample_query_log(read_query_log(log), 9, seed=4)
    assert len(chosen) == 9
    assert sum(q.stratum == "tail" for q in chosen) == 5
    assert chosen == sample_query_log(read_query_log(log), 9, seed=4)
    assert chosen != sample_query_log(read_query_log(log), 9, seed=5)


@pytest.mark.parametrize(
    "line",
    ["{", '{"a": 1}', '{"query": "x", "count": 0}', '{"query": "x", "count": "3"}', "x\t0"],
)
def test_bad_lines(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log"
    log.write_text(f"good\n{line}\n", "utf-8")
    with pytest.raises(InputError, match="line 2"):
        read_query_log(log)
    log.write_text(" \n", "utf-8")
    with pytest.raises(InputError, match="no queries"):
        read_query_log(log)


queries = st.lists(
    st.builds(LoggedQuery, st.text(), st.integers(1, 9), st.sampled_from(STRATA)),
    unique_by=lambda q: q.text,
)


@given(queries, st.integers(1, 20))
def test_a_sample_has_its_size_and_repeats_nothing(
    logged: list[LoggedQuery], count: int
) -> None:
    chosen = sample_query_log(logged, count)
    assert len(chosen) == min(count, len(logged)) == len({q.text for q in chosen})
    most = {name: sum(q.stratum == name for q in chosen) for name in STRATA}
    for name in STRATA:
        left = sum(q.stratum == name for q in logged) - most[name]
        assert not left or most[name] >= max(most.values()) - 1


def test_queries_made_of_a_document() -> None:
    text = (
        "# The first engine #\n\nIt was built in 1712. It pumped water.\n\n## Later ones\nMore."
    )
    made = make_queries(Document(text, "d", title="Steam  engine"))
    assert [(q.text, q.kind) for q in made] == [
        ("Steam engine", "title"),
        ("The first engine", "heading"),
        ("Later ones", "heading"),
        ("It was built in 1712", "sentence"),
    ]
    assert make_queries(Document("…", "d", title=" ")) == []


def test_each_document_gives_one_before_any_gives_two() -> None:
    documents = [
        Document(f"Sentence number {i}. Rest.", f"d{i}", title=f"Title {i}") for i in range(5)
    ]
    chosen = sample_document_queries(documents, 5)
    assert {q.source for q in chosen} == {f"d{i}" for i in range(5)}
    assert len(sample_document_queries(documents, 99)) == 10
    assert sample_document_queries(reversed(documents), 5) == chosen
    assert sample_document_queries([], 5) == []
