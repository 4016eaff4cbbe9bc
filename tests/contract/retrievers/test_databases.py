"""What the adapter of every database must do, whatever is in the table and in the query."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings

from secondpass.errors import FilterError, InputError
from secondpass.retrieve.backends.registry import open_retriever
from secondpass.types import Candidate
from tests.contract.retrievers.collections import COLLECTIONS
from tests.contract.retrievers.databases import (
    DATABASES,
    EMBEDDER,
    Database,
    Row,
    generated_rows,
)
from tests.contract.retrievers.filter_strategy import filters

ALL = DATABASES | COLLECTIONS
HOSTILE = [
    *("", " ", "'", '"', "''", '""', "%", "_", "\\", "a\\", "\0", "a\0b", "\ud800", "😀" * 500),
    *(
        "AND",
        "OR",
        "NOT",
        "NEAR",
        "a AND",
        "NEAR(a b",
        "a NEAR b",
        '"a',
        "a*",
        "*",
        "-a",
        "a:b",
    ),
    *(
        "body: a",
        "{a b} : c",
        "^a",
        "a ^ b",
        "(",
        "a)",
        "a & b",
        "a | b",
        "!a",
        "a <-> b",
        "<3",
    ),
    *("'; DROP TABLE docs; --", "1' OR '1'='1", "$1", ":x", "?", "%s", "%(a)s", "{}", "[a]"),
    *("日本語", "naïve café", "e\u0301", "ß", "\u200b", "a\nb\tc", "/regexp/", "a~2", "a^3"),
]


@pytest.fixture(scope="module", params=sorted(ALL))
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ALL[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture(scope="module", params=sorted(ALL))
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A retriever over a table of generated rows that no test changes."""
    with ALL[request.param](tmp_path_factory.mktemp(request.param)) as made:
        made.fill(generated_rows(60))
        with opened(made) as retriever:
            yield retriever


@contextmanager
def opened(database: Database, **parameters: str) -> Iterator[Any]:
    roles = {"text": "body", "title": "title"}
    with closing(
        open_retriever(database.url(**(roles | parameters)), embedder=EMBEDDER)
    ) as retriever:
        yield retriever


def ids(candidates: list[Candidate]) -> list[str | None]:
    return [c.document.id for c in candidates]


ANIMALS = [
    Row("cat", "a cat sleeps on the warm stone wall", "Cats", 2001, 1.5, "en", True),
    Row("dog", "a dog barks at night near the river", "Dogs", 2002, 2.5, "en", False),
    Row("both", "the cat and the dog are friends of the bird", None, 2003, None, "de", None),
    Row("fish", "fish swim in a silent lake", "Fish", None, 0.0, None, True),
]


def test_candidates_are_ranked_and_whole(database: Database) -> None:
    database.fill(ANIMALS)
    with opened(database) as retriever:
        candidates = retriever.retrieve("sleeping cat", 3)
        info = retriever.describe()
    assert candidates[0].document.id == "cat"
    assert candidates[0].document.text == ANIMALS[0].text
    assert candidates[0].document.title == "Cats"
    assert candidates[0].document.metadata["year"] == 2001
    assert candidates[0].document.metadata["fresh"] is True
    assert [c.rank for c in candidates] == list(range(1, len(candidates) + 1))
    scores = [c.score for c in candidates]
    assert scores == sorted(scores, reverse=True)
    for name in ("bm25", "vector"):
        values = [getattr(c, name) for c in candidates]
        assert any(v is not None for v in values) == (info.modes[0] in ("hybrid", name))
    assert info.count in (None, 4)
    assert info.fields["year"] == "integer"
    assert info.engine
    assert info.note is None


def test_k_may_be_larger_than_the_table(database: Database) -> None:
    database.fill(ANIMALS)
    with opened(database) as retriever:
        found = ids(retriever.retrieve("cat dog fish", 5000))
    assert sorted(found) == ["both", "cat", "dog", "fish"]


def test_ids_of_any_type_are_text_and_filter_by_their_own(database: Database) -> None:
    database.fill([Row(7, "seven cats"), Row(12, "twelve dogs")], kind="integer")
    with opened(database) as retriever:
        assert ids(retriever.retrieve("cats", 1)) == ["7"]
        if "id" in retriever.describe().fields:
            condition = "id = 12" if "id_order" in database.lacks else "id > 7"
            assert ids(retriever.retrieve("cats dogs", 5, condition)) == ["12"]
    key = UUID("12345678-1234-5678-1234-567812345678")
    database.fill([Row(str(key), "a cat")], kind="uuid")
    with opened(database) as retriever:
        assert ids(retriever.retrieve("cat", 1)) == [str(key)]


def test_chunks_name_their_document(database: Database) -> None:
    database.fill([Row("a-1", "the cat", parent="a"), Row("a-2", "cat food", parent="a")])
    with opened(database, parent="doc") as retriever:
        candidates = retriever.retrieve("cat", 5)
    assert sorted(ids(candidates)) == ["a-1", "a-2"]
    assert {c.document.document_id for c in candidates} == {"a"}


@pytest.mark.parametrize("query", HOSTILE)
def test_no_query_breaks_a_search(filled: Any, query: str) -> None:
    assert len(filled.retrieve(query, 3)) <= 3
    assert len(filled.retrieve(f"{query} common", 3)) <= 3
    assert len(filled.retrieve("common", 3)) == 3


@pytest.mark.parametrize("text", HOSTILE)
def test_no_value_of_a_filter_is_read_as_code(filled: Any, text: str) -> None:
    condition = "lang = '" + text.replace("'", "''") + "'"
    assert filled.retrieve("common", 3, condition) == []
    found = filled.retrieve("common", 3, f"{condition} OR lang = 'O''Hara'")
    assert {c.document.metadata["lang"] for c in found} == {"O'Hara"}


@pytest.mark.parametrize(
    "condition",
    [
        *(
            "",
            " ",
            "year",
            "year =",
            "= 3",
            "year = 3 AND",
            "(year = 3",
            "year = 3)",
            "yaer = 3",
        ),
        *("year = 'x'", "lang = 3", "year = 3; DROP TABLE docs", "1 = 1 UNION SELECT 1"),
        *("lang LIKE 3", "year IN ()", "year = NULL", 'lang = "en"', "day = '2020-01-01'"),
        *("count(*) > 1", "year = (SELECT 1)", "year = 1 -- x", "NOT " * 200 + "year = 3"),
        *("(" * 200 + "year = 3" + ")" * 200, "year = 3 year = 4", "fresh = 1", "lang"),
    ],
)
def test_what_is_no_filter_is_refused(filled: Any, condition: str) -> None:
    with pytest.raises(FilterError):
        filled.retrieve("common", 3, condition)


def test_filters_are_those_of_plain_python(database: Database) -> None:
    rows = generated_rows(150)
    database.fill(rows)
    lacks = database.lacks
    with opened(database) as retriever:

        @settings(
            max_examples=getattr(database, "examples", 60),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(filters(lacks))
        def check(drawn: Any) -> None:
            condition, holds = drawn
            expected = {row.id for row in rows if holds(row)}
            assert set(ids(retriever.retrieve("common", 1000, condition))) == expected

        check()


@pytest.mark.parametrize(
    "condition",
    [
        "NOT (price = 0.5 AND price != 0.5)",
        "price = 0.5 OR price != 0.5",
        "NOT (NOT (price = 0.5) AND NOT (price != 0.5))",
    ],
)
def test_null_is_neither_equal_nor_unequal(filled: Any, condition: str) -> None:
    expected = {row.id for row in generated_rows(60) if row.price is not None}
    assert set(ids(filled.retrieve("common", 1000, condition))) == expected


def test_a_filter_applies_before_the_limit(database: Database) -> None:
    rows = [Row(f"r{n}", "common word " * (50 - n), year=n) for n in range(50)]
    database.fill(rows)
    with opened(database) as retriever:
        for bound in (0, 25, 49):
            found = ids(retriever.retrieve("common", 3, f"year >= {bound}"))
            assert len(found) == min(3, 50 - bound)
            assert all(int(str(i)[1:]) >= bound for i in found)


def test_an_empty_table_has_no_candidates(database: Database) -> None:
    database.fill([])
    with opened(database) as retriever:
        assert retriever.retrieve("cat", 5) == []
        assert retriever.retrieve("cat", 5, "year = 3") == []
        assert retriever.describe().count in (None, 0)


def test_a_row_without_text_is_an_empty_document(database: Database) -> None:
    database.fill([Row("null", None, "Cat"), Row("full", "cat"), Row("none", None)])
    with opened(database) as retriever:
        found = {c.document.id: c.document for c in retriever.retrieve("cat", 5)}
    assert found["full"].text == "cat"
    for key in ("null", "none"):
        assert key not in found or found[key].text == ""


def test_rows_that_cannot_be_candidates_are_counted(database: Database) -> None:
    # Two rows of "en", one of "de", and one without a value.
    database.fill(ANIMALS)
    with opened(database, id="lang") as retriever:
        if "other_ids" not in database.lacks:
            words = retriever.search("cat dog fish", mode="bm25")
            assert sorted(ids(words.candidates)) == ["de", "en"]
            assert words.note == (
                "left out by keyword search: 1 row without a value in 'lang', the id, "
                "1 row whose 'lang', the id, is that of another row"
            )
        if "hybrid" in retriever.describe().modes:
            near = retriever.search("cat dog fish", mode="vector")
            assert sorted(ids(near.candidates)) == ["de", "en"]
            assert "left out by vector search: 1 row without a value in 'lang'" in near.note
            assert "1 row whose 'lang', the id, is that of another row" in near.note
            assert near.note in retriever.search("cat dog fish").note
    with opened(database) as retriever:
        assert retriever.search("cat dog fish").note is None


def test_ten_thousand_rows(database: Database) -> None:
    if "many" in database.lacks:
        pytest.skip("it is slow to fill, and another engine or variant is tested with them")
    rows = generated_rows(10_000)
    rows[4321] = Row("row-4321", "common unmistakable needle", year=2100)
    database.fill(rows)
    with opened(database) as retriever:
        assert retriever.retrieve("unmistakable needle", 10)[0].document.id == "row-4321"
        assert ids(retriever.retrieve("common", 50, "year = 2100")) == ["row-4321"]
        assert len(retriever.retrieve("common apple", 200)) == 200


def test_several_threads_get_the_same(filled: Any) -> None:

    def search(number: int) -> list[tuple[str | None, float | None]]:
        condition = "year > 2000" if number % 2 else None
        found = filled.retrieve("common river stone", 10, condition)
        return [(c.document.id, c.score) for c in found]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(search, range(40)))
    assert all(result == results[0] for result in results[::2])
    assert all(result == results[1] for result in results[1::2])


def test_a_connection_that_drops_is_made_again(database: Database) -> None:
    if "drops" in database.lacks:
        pytest.skip("the engine runs in this process")
    database.fill(ANIMALS)
    with opened(database) as retriever:
        before = ids(retriever.retrieve("cat", 3))
        database.drop()
        assert ids(retriever.retrieve("cat", 3)) == before


def test_a_table_may_change_between_the_halves(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "changes" in database.lacks:
        pytest.skip("the engine has no writer beside a reader")
    database.fill(ANIMALS)
    encode, changed = EMBEDDER.encode, threading.Event()
    with opened(database) as retriever:
        if retriever.describe().modes[0] != "hybrid":
            pytest.skip("this database is searched by one half")

        def change(texts: Any) -> Any:
            if not changed.is_set():
                changed.set()
                database.write([Row("new", "a new cat", "New")], delete=["dog"])
            return encode(texts)

        monkeypatch.setattr(EMBEDDER, "encode", change)
        during = retriever.retrieve("cat dog", 10)
        assert changed.is_set()
        assert len(set(ids(during))) == len(during)
        after = set(ids(retriever.retrieve("cat dog", 10)))
    assert "cat" in ids(during)
    assert "new" in after
    assert "dog" not in after


def test_secrets_are_never_printed(database: Database) -> None:
    database.fill(ANIMALS)
    secret = database.password
    with opened(database) as retriever:
        printed = [repr(retriever.describe()), repr(getattr(retriever.store, "url", ""))]
    for parameters in ({"text": "boddy"}, {"table": "dcos"}, {"nonsense": "1"}, {"id": "x"}):
        url = database.url()
        for name, value in parameters.items():
            url = re.sub(rf"&?\b(?:{name}|collection)=\w+", "", url) + f"&{name}={value}"
        with pytest.raises(InputError) as caught:
            open_retriever(url.replace("?&", "?"), embedder=EMBEDDER)
        printed.append(str(caught.value))
    if secret is not None:
        assert not any(secret in text for text in printed)
