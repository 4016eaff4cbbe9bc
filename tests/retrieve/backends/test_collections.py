"""Stores over collections: sampled fields, words ranked here, lost connections, errors."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError, MissingExtraError, RetrieverError
from secondpass.retrieve.backends.collection_store import (
    add_named,
    call_client,
    flatten,
    load_client,
    sample_kinds,
)
from secondpass.retrieve.backends.database_url import file_url, parse_url
from secondpass.retrieve.backends.registry import open_retriever
from secondpass.retrieve.backends.word_scores import MAX_WORDS, query_words, score_texts
from tests.contract.retrievers.collections import ChromaFolder, QdrantFolder
from tests.contract.retrievers.databases import EMBEDDER, Row

SERVERS = ("qdrant", "chroma", "milvus", "opensearch", "elasticsearch", "weaviate")
URL = parse_url("qdrant://user:s3cret@host/x?collection=docs")


def test_kinds_of_sampled_fields() -> None:
    rows = [
        {"a": 1, "b": "x", "c": None, "d": "2024-01-01", "e": True, "f": [1]},
        {"a": 1.5, "b": 2, "c": "y", "d": "2024-01-02T10:00:00Z", "e": False, "g": None},
    ]
    assert sample_kinds(rows, times=True) == {
        **{"a": "number", "b": "json", "c": "text", "d": "datetime"},
        **{"e": "boolean", "f": "json", "g": "text"},
    }
    assert sample_kinds(rows)["d"] == "text"


def test_nested_objects_are_dotted_names() -> None:
    nested = {"page": "x", "metadata": {"year": 1, "source": {"file": "a"}}, "tags": ["a"]}
    assert flatten(nested) == {
        **{"page": "x", "metadata.year": 1, "metadata.source.file": "a", "tags": ["a"]}
    }


def test_fields_that_only_the_url_names() -> None:
    url = parse_url("qdrant://host?collection=docs&title=headline&fields=year,rare")
    kinds, note = add_named(url, {"text": "text", "year": "integer"}, empty=False)
    assert kinds == {"text": "text", "year": "integer", "headline": "text", "rare": "any"}
    assert note is not None
    assert "headline, rare" in note
    assert add_named(url, {}, empty=True)[1] is None


def test_words_are_ranked_by_bm25() -> None:
    texts = ["the cat sat", "a dog and a cat", "dog dog dog"]
    scores = score_texts(["cat"], texts, total=10)
    idf = math.log(1 + (10 - 2 + 0.5) / (2 + 0.5))
    assert scores[0] == pytest.approx(
        idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 3 / ((3 + 5 + 3) / 3)))
    )
    assert scores[0] > scores[1] > scores[2] == 0


@given(st.text(max_size=200))
def test_words_of_any_query(query: str) -> None:
    words = query_words(query)
    assert len(words) == len(set(words)) <= MAX_WORDS
    assert all(scores >= 0 for scores in score_texts(words, [query, ""], 2))


def test_a_lost_connection_is_tried_once_more() -> None:
    calls = []

    def lose(times: int) -> Any:
        def call() -> str:
            calls.append(1)
            if len(calls) <= times:
                raise ConnectionError("gone with s3cret")
            return "found"

        calls.clear()
        return call

    assert call_client(lose(1), URL, lambda _: "connection") == "found"
    with pytest.raises(RetrieverError) as caught:
        call_client(lose(5), URL, lambda _: "connection")
    assert len(calls) == 2
    assert "s3cret" not in str(caught.value)
    with pytest.raises(RetrieverError) as caught:
        call_client(lose(5), URL, lambda _: "timeout")
    assert caught.value.timeout
    assert len(calls) == 1
    with pytest.raises(ConnectionError):
        call_client(lose(5), URL, lambda _: None)


def test_a_client_that_is_not_installed() -> None:
    with pytest.raises(MissingExtraError, match=r"secondpass\[qdrant\]"):
        load_client("no_such_client", package="qdrant-client", extra="qdrant", feature="Qdrant")


@pytest.mark.parametrize("scheme", ["qdrant", "chroma", "milvus"])
def test_a_folder_that_is_not_there_is_not_made(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        open_retriever(file_url(scheme, tmp_path / "none", collection="docs"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("scheme", SERVERS)
def test_a_server_that_cannot_be_reached(scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:1?collection=docs&connect_timeout=1&timeout=2"
    with pytest.raises(RetrieverError, match=r"127\.0\.0\.1:1"):
        open_retriever(url, embedder=EMBEDDER)


@pytest.mark.parametrize("scheme", SERVERS)
def test_https_is_true_or_false(scheme: str) -> None:
    # Another word must not mean a connection in plain text.
    with pytest.raises(InputError, match="https=true"):
        open_retriever(f"{scheme}://127.0.0.1:1?collection=docs&https=yes", embedder=EMBEDDER)


def test_fields_that_later_hits_have_can_be_filtered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondpass.retrieve.backends.qdrant.SAMPLED_ROWS", 1)
    database = QdrantFolder(tmp_path, "index")
    database.fill([Row(7, "a cat"), Row(8, "a dog", year=2001)], kind="integer")
    with closing(open_retriever(database.url(text="body"), embedder=EMBEDDER)) as retriever:
        assert "year" not in retriever.describe().fields
        assert retriever.retrieve("dog", 1)[0].document.metadata["year"] == 2001
        assert retriever.describe().fields["year"] == "integer"
        assert [c.document.id for c in retriever.retrieve("a", 5, "year = 2001")] == ["8"]


def test_points_by_their_own_id(tmp_path: Path) -> None:
    database = QdrantFolder(tmp_path, None)
    database.fill([Row(7, "a cat"), Row(8, "a dog")], kind="integer")
    with closing(open_retriever(database.url(text="body"), embedder=EMBEDDER)) as retriever:
        for condition in ("id = 8", "id != 7", "id IN (8, 9)", "NOT id = 7"):
            assert [c.document.id for c in retriever.retrieve("a", 5, condition)] == ["8"]


def test_vectors_of_another_model_are_not_searched(tmp_path: Path) -> None:
    from tests.retrieve.hashed_embedder import HashedEmbedder

    database = QdrantFolder(tmp_path, "index")
    database.fill([Row(7, "a cat")], kind="integer")
    url = database.url(text="body")
    with closing(open_retriever(url, embedder=HashedEmbedder(24))) as retriever:
        info = retriever.describe()
    assert info.modes == ("bm25",)
    assert info.note is not None
    assert "16 dimensions" in info.note


def test_a_server_of_chroma(tmp_path: Path) -> None:
    folder = ChromaFolder(tmp_path)
    folder.fill([Row("a", "a cat", year=2001), Row("b", "a dog", year=2002)])
    folder.client.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("chroma"))
    command = [program, "run", "--path", str(folder.folder), "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--host", "127.0.0.1"], **quiet) as server:
        try:
            for _ in range(300):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            url = f"chroma://127.0.0.1:{port}?collection=docs&timeout=20"
            with closing(open_retriever(url, embedder=EMBEDDER)) as retriever:
                assert retriever.describe().modes[0] == "hybrid"
                found = retriever.retrieve("dog", 5, "year > 2001")
        finally:
            server.terminate()
    assert [c.document.id for c in found] == ["b"]
    assert found[0].bm25 is not None
