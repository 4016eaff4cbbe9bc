"""Documents with any ids at all are stored, found and deleted, each by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.ingest import add_documents
from secondpass.retrieve.retriever import HybridRetriever
from secondpass.types import Document

LOOK_ALIKE = [
    *("a", "a#1", "a#2", "a#1#1", "a#0", "a#1#0", "a#01", "#1", "#", "", "a#", "a# 1"),
    *("1", "1.0", "01", "\uff11", "1#1", "٣", "a#٣", "A", "é", "e\u0301", "a\u200b", "\ufeffa"),
    *("a/b", "../a", "it's", 'say "a"', "`a`", "a\nb", "a\r\nb", "a\0b", "%", "_", "\\", "--"),
    *("x" * 5000, "x" * 4999 + "#1", "https://ex.test/a?b=1#1", "\ud800", "\U0001f600"),
]
IDS = st.one_of(
    st.sampled_from(LOOK_ALIKE),
    st.text(max_size=6),
    st.builds("{}#{}".format, st.sampled_from(LOOK_ALIKE), st.integers(0, 3)),
)
SETTINGS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def text_of(number: int, words: int) -> str:
    return f"n{number} begins. " + " ".join(f"n{number} word{i}" for i in range(words))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LanceStore:
    folder: Path = tmp_path_factory.mktemp("ids")
    return open_index(folder, chunk_tokens=16, overlap=0)


@SETTINGS
@given(
    documents=st.lists(
        st.tuples(IDS, st.integers(0, 30)),
        min_size=1,
        max_size=8,
        unique_by=lambda d: clean(d[0]),
    ),
    batch_size=st.sampled_from([1, 3, 64]),
    data=st.data(),
)
def test_documents_never_share_a_passage(
    store: LanceStore, documents: list[tuple[str, int]], batch_size: int, data: st.DataObject
) -> None:
    given_ids = [name for name, _ in documents]
    texts = {clean(name): text_of(n, size) for n, (name, size) in enumerate(documents)}
    report = add_documents(
        (Document(texts[clean(name)], id=name) for name in given_ids),
        store,
        None,
        batch_size=batch_size,
    )
    try:
        assert report.added == report.stored == store.count_documents() == len(texts)
        assert report.passages == store.count_passages()
        check_contents(store, texts)
        name = data.draw(st.sampled_from(given_ids))
        assert store.delete([name]) == 1
        assert store.lookup([name]) == {}
        del texts[clean(name)]
        assert store.count_documents() == len(texts)
        check_contents(store, texts)
    finally:
        store.delete(given_ids)
    assert store.count_passages() == 0


def check_contents(store: LanceStore, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        passages = [hit.document for hit in store.passages_of(name)]
        assert {p.document_id for p in passages} == {name}
        assert "".join(p.text for p in passages).replace(" ", "") == text.replace(" ", "")
        assert [p.chunk for p in passages] == (
            list(range(1, len(passages) + 1)) if len(passages) > 1 else [0]
        )
    # A search returns them all, each under a key of its own.
    found = HybridRetriever(store).search("begins", mode="bm25", candidates=100).candidates
    assert {c.document.document_id for c in found} >= set(texts)
    assert len({c.document.key for c in found}) == len(found)


def test_an_id_that_repeats_is_counted_once(tmp_path: Path) -> None:
    store = open_index(tmp_path / "i")
    for batch_size in (1, 64):
        documents = [Document("one", id="x"), Document(" ", id="y"), Document("two", id="x")]
        report = add_documents(documents, store, None, batch_size=batch_size)
        assert report.documents == 3
        assert report.stored == store.count_documents() == 1
    report = add_documents([*documents, Document("", id="x")], store, None)
    assert report.stored == store.count_documents() == 0
