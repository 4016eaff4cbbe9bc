"""PostgreSQL beyond the contract: where full text is found, read-only sessions, time-outs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from secondpass.errors import InputError, RetrieverError
from secondpass.retrieve.backends.registry import open_retriever
from secondpass.retrieve.filter_tree import parse_filter
from tests.loopback.postgres import USER, PostgresServer, find_postgres, postgres_server
from tests.retrieve.hashed_embedder import HashedEmbedder


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg")
    if find_postgres() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres_server() as made:
        yield made


@pytest.fixture(autouse=True)
def address(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", str(server.port))
    monkeypatch.setenv("PGUSER", USER)
    monkeypatch.setenv("PGPASSWORD", server.password)


def make(server: PostgresServer, script: str) -> None:
    with server.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS docs; {script}")


def opened(query: str = "table=docs") -> Any:
    url = f"postgresql:///postgres?{query}"
    return closing(open_retriever(url, embedder=HashedEmbedder()))


ROWS = "INSERT INTO docs VALUES (1, 'the cats are sleeping'), (2, 'a dog, or 100% of one')"


def test_without_an_index_of_words_the_statement_that_makes_one_works(
    server: PostgresServer,
) -> None:
    make(server, f"CREATE TABLE docs (id int PRIMARY KEY, body text); {ROWS}")
    with opened("table=docs&analyzer=english") as retriever:
        note = retriever.describe().note
        assert [c.document.id for c in retriever.retrieve("sleep cat", 5)] == ["1"]
    assert "computed for every row" in note
    with server.connect() as connection:
        connection.execute(note.partition("made by: ")[2])
    with opened() as retriever:
        assert retriever.describe().note is None
        assert [c.document.id for c in retriever.retrieve("sleep cat", 5)] == ["1"]


def test_the_configuration_of_a_trigger_is_found(server: PostgresServer) -> None:
    make(
        server,
        "CREATE TABLE docs (id int PRIMARY KEY, body text, words tsvector);"
        "CREATE TRIGGER t BEFORE INSERT ON docs FOR EACH ROW EXECUTE FUNCTION "
        f"tsvector_update_trigger(words, 'pg_catalog.english', body); {ROWS}",
    )
    with opened() as retriever:
        assert retriever.describe().note is None
        assert [c.document.id for c in retriever.retrieve("sleeps", 5)] == ["1"]


def test_names_with_quotes_and_percent_signs(server: PostgresServer) -> None:
    make(
        server,
        'CREATE TABLE docs (id int PRIMARY KEY, body text, "100% ""odd""" int);'
        "INSERT INTO docs VALUES (1, 'cat', 7), (2, 'cat', NULL)",
    )
    with opened() as retriever:
        found = retriever.retrieve("cat", 5, '"100% ""odd""" = 7')
    assert [c.document.metadata for c in found] == [{'100% "odd"': 7}]


def test_a_session_only_reads_and_ends_late_queries(server: PostgresServer) -> None:
    make(server, f"CREATE TABLE docs (id int PRIMARY KEY, body text); {ROWS}")
    with opened("table=docs&timeout=0.3") as retriever:
        session = retriever.store._session
        with pytest.raises(RetrieverError, match="read-only"):
            session.run("DELETE FROM docs RETURNING id")
        with pytest.raises(RetrieverError, match="took too long") as caught:
            session.run("SELECT pg_sleep(20)")
        assert caught.value.timeout
        assert len(retriever.retrieve("cat dog", 5)) == 2


def test_a_server_that_is_not_there_and_a_wrong_password(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RetrieverError) as caught:
        open_retriever(f"postgresql://{USER}:wr0ng-secret@127.0.0.1:{server.port}/postgres")
    assert "password authentication failed" in str(caught.value)
    assert "wr0ng" not in str(caught.value)
    monkeypatch.setenv("PGPORT", "1")
    with pytest.raises(RetrieverError, match="refused"):
        open_retriever("postgresql:///postgres?connect_timeout=1")


def test_what_is_not_there_is_named(server: PostgresServer) -> None:
    make(server, f"CREATE TABLE docs (id int PRIMARY KEY, body text); {ROWS}")
    for query, said in (
        ("table=dosc", "Did you mean 'docs'"),
        ("table=docs&text=bdoy", "Did you mean 'body'"),
        ("table=docs&analyzer=englisch", "Did you mean 'english'"),
        ("table=docs&tsvector=words", "no column 'words' of type tsvector"),
        ("table=docs&text=body&vector=body", "holds no vectors"),
    ):
        with pytest.raises(InputError, match=said):
            open_retriever(f"postgresql:///postgres?{query}")


def test_uuids_times_and_numbers_are_filtered_as_written(server: PostgresServer) -> None:
    make(
        server,
        "CREATE TABLE docs (id uuid PRIMARY KEY, body text, at timestamptz, price numeric, "
        "about jsonb); INSERT INTO docs VALUES "
        "('12345678-1234-5678-1234-567812345678', 'cat', '2024-01-01 12:00+02', 1.5, "
        """'{"a": 1}'), ('22345678-1234-5678-1234-567812345678', 'cat', NULL, 2, NULL)""",
    )
    first = "12345678-1234-5678-1234-567812345678"
    with opened() as retriever:
        for condition in (
            f"id = '{first}'",
            "at = timestamp '2024-01-01 10:00:00'",
            "price < 1.75",
            "id < '2'",
        ):
            found = retriever.retrieve("cat", 5, condition)
            assert [c.document.id for c in found] == [first]
        assert found[0].document.metadata["about"] == {"a": 1}
        assert "about" not in retriever.describe().fields
        assert parse_filter("id = 'no uuid'", retriever.describe().fields) is not None
        assert retriever.retrieve("cat", 5, "id = 'no uuid'") == []


@pytest.mark.parametrize("operators", ["vector_cosine_ops", "vector_ip_ops", "vector_l2_ops"])
def test_the_index_of_vectors_is_used_and_filters_come_first(
    server: PostgresServer, operators: str
) -> None:
    if not server.has_vectors:
        pytest.skip("pgvector is not installed")
    texts = [f"word{n} common" for n in range(300)]
    make(
        server,
        "CREATE EXTENSION IF NOT EXISTS vector;"
        "CREATE TABLE docs (id int PRIMARY KEY, body text, n int, embedding vector(16))",
    )
    with server.connect() as connection:
        for n, vector in enumerate(HashedEmbedder().encode(texts)):
            row = (n, texts[n], n, str(vector.tolist()))
            connection.execute("INSERT INTO docs VALUES (%s, %s, %s, %s)", row)
        connection.execute(f"CREATE INDEX ON docs USING hnsw (embedding {operators})")
    with opened() as retriever:
        assert retriever.modes[0] == "hybrid"
        near = retriever.search("word7 common", mode="vector", candidates=200).candidates
        assert near[0].document.id == "7"
        assert near[0].vector == pytest.approx(1, abs=1e-4)
        assert len(near) == 200
        # Fewer than one in a hundred passes: the index goes on until there are enough.
        few = retriever.search(
            "word7 common", mode="vector", candidates=2, filter="n >= 297"
        ).candidates
        assert len(few) == 2
