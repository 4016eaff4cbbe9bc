"""Collections: names, tenants, crashes, and what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import Document, Index, Reranker
from secondpass.errors import ReadError
from secondpass.retrieve.embedder import Embedder
from secondpass.server.http_errors import HttpError
from secondpass.server.index_catalog import IndexCatalog, IndexKey, _plain
from secondpass.server.scheduler.queue import WorkQueue

ONE = IndexKey("acme", "default", "docs")


@contextmanager
def opened(data: Path | None, served: dict[str, Path], model: str) -> Iterator[IndexCatalog]:
    found = IndexCatalog(
        data, served, embedder=Embedder(), reranker=Reranker(model), queue=WorkQueue(10**6)
    )
    yield found
    found.close()


def status(do: object, *arguments: object) -> int:
    assert callable(do)
    with pytest.raises(HttpError) as caught:
        do(*arguments)
    return caught.value.status


def test_what_is_made_is_there_after_a_restart_and_gone_after_deletion(
    tmp_path: Path, model: str
) -> None:
    with opened(tmp_path, {}, model) as known:
        made = known.create(ONE, {"index": {"chunk_tokens": None}, "mine": 0})
        assert made.add([Document("the sea", id="a")]).added == 1
        assert status(known.create, ONE) == 409
    with opened(tmp_path, {}, model) as known:
        found = known.get(ONE)
        assert found.about == {"index": {"chunk_tokens": None}, "mine": 0}
        assert found.index.store.settings.chunk_tokens is None
        assert [r.id for r in found.index.search("sea").results] == ["a"]
        found.save({**found.about, "mine": 1})
        assert known.delete(ONE).about["mine"] == 1
        assert status(known.get, ONE) == status(known.delete, ONE) == 404
        assert known.namespaces("acme") == ["default"]
        assert known.listed("acme", "default") == []
        known.create(ONE)
        assert known.get(ONE).index.count() == 0


def test_nobody_sees_another_tenants(tmp_path: Path, model: str) -> None:
    with opened(tmp_path, {}, model) as known:
        known.create(ONE)
        other = IndexKey("umbrella", "default", "docs")
        assert status(known.get, other) == status(known.delete, other) == 404
        assert known.namespaces("umbrella") == [] == known.listed("umbrella", "default")
        for name in ("../acme/default/docs", "..", "default/../../acme/default/docs", "/docs"):
            assert status(known.find, "umbrella", name) == 404
        known.create(other)
        assert known.find("umbrella", "docs").folder != known.find("acme", "docs").folder


def test_served_indexes_are_searched_and_not_removed(tmp_path: Path, model: str) -> None:
    for name in ("one", "two"):
        with Index.open(tmp_path / name) as index:
            index.add([Document(f"the {name}", id=name)])
    served = {"one": tmp_path / "one", "two": tmp_path / "two"}
    with opened(None, served, model) as known:
        assert known.default("default").place.name == "one"
        assert known.find("default", "two").index.count() == 1
        assert status(known.default, "acme") == status(known.find, "acme", "one") == 404
        assert status(known.delete, IndexKey("default", "default", "one")) == 403
        assert status(known.create, ONE) == 403
        assert status(known.find("default", "one").save, {}) == 403
        assert (tmp_path / "one").is_dir()


def test_the_only_index_is_the_default(tmp_path: Path, model: str) -> None:
    with opened(tmp_path, {}, model) as known:
        assert status(known.default, "acme") == 404
        known.create(IndexKey("acme", "weaviate", "Doc"))
        assert status(known.default, "acme") == 404
        known.create(ONE)
        assert known.default("acme").place == ONE
        known.create(IndexKey("acme", "default", "more"))
        with pytest.raises(HttpError, match="several"):
            known.default("acme")


def test_half_of_a_collection_is_none_and_a_damaged_one_is_named(
    tmp_path: Path, model: str
) -> None:
    (tmp_path / "acme" / "default" / "docs").mkdir(parents=True)
    with opened(tmp_path, {}, model) as known:
        assert status(known.get, ONE) == 404
        known.create(ONE)
    (tmp_path / "acme" / "default" / "docs" / "collection.json").write_text("[")
    with opened(tmp_path, {}, model) as known, pytest.raises(ReadError, match="docs"):
        known.get(ONE)


@given(st.text(max_size=120))
def test_a_name_is_never_a_path(name: str) -> None:
    if _plain(name):
        assert Path(name).name == name
        assert name.isascii()
        assert name not in (".", "..")
        assert not set(name) & set("/\\:\0 .")


@pytest.mark.parametrize("name", ["", "-a", "a.b", "a/b", "..", "\u00e9", "x" * 101])
def test_names_that_cannot_be(tmp_path: Path, model: str, name: str) -> None:
    with opened(tmp_path, {}, model) as known:
        assert status(known.create, IndexKey("acme", "default", name)) == 400


def test_what_has_vectors_of_its_clients_is_not_opened_as_another_index(
    tmp_path: Path, model: str
) -> None:
    with opened(tmp_path, {}, model) as known:
        made = known.create(IndexKey("acme", "weaviate", "Doc"), {"own_vectors": True})
        with pytest.raises(HttpError, match="weaviate:Doc has vectors of its clients"):
            _ = made.index
        assert not (made.folder / "index").exists()
