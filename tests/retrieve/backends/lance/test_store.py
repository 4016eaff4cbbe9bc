"""What is particular to the LanceDB store."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from secondpass.errors import IndexStoreError, MissingExtraError
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.store_protocol import Passage
from tests.retrieve.hashed_embedder import HashedEmbedder


def passage(name, text, **metadata):
    return Passage(name, text, metadata=metadata)


def test_heavy_packages_are_only_loaded_when_used():
    code = (
        "import sys, pkgutil, importlib, secondpass.retrieve as p\n"
        "names = [m.name for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')]\n"
        "for n in names:\n"
        "    if not n.endswith('.embedder'): importlib.import_module(n)\n"
        "heavy = {'lancedb', 'pyarrow', 'semchunk', 'selectolax', 'markitdown', 'numpy',"
        " 'torch'}\n"
        "print(len(names) > 20, heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True set()\n", "")


def test_without_lancedb_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(MissingExtraError, match=r"secondpass\[index\]"):
        open_index(tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_the_engine_says_nothing_on_standard_error(tmp_path):
    code = (
        "import sys\n"
        "from secondpass.retrieve.backends.lance.open import open_index\n"
        "from secondpass.retrieve.store_protocol import Passage\n"
        "store = open_index(sys.argv[1])\n"
        "store.upsert([Passage('a', 'zebra')])\n"
        "store.optimize(); store.bm25('zebra', 1); store.count_passages()\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "index")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_widening_that_was_interrupted_is_taken_up_again(tmp_path):
    store = open_index(tmp_path)
    store.upsert([passage("a", "zebra", n=1, m=1)])
    table = store._table
    table.add_columns({"_sp_wide_n": "CAST(`n` AS DOUBLE)", "_sp_old_m": "m"})
    assert dict(store.fields) == {"n": "integer", "m": "integer"}
    assert [h.id for h in store.bm25("zebra", 1, "n = 1")] == ["a"]
    store.upsert([passage("b", "zebra", n=2.5)])
    assert dict(store.fields) == {"n": "number", "m": "integer"}
    assert [h.id for h in store.bm25("zebra", 5, "n > 1")] == ["b"]
    assert not any(name.startswith(("_sp_wide_", "_sp_old_")) for name in table.schema.names)


def test_the_text_index_is_kept_up_while_documents_come_in(tmp_path):
    store = open_index(tmp_path)
    for i in range(40):
        store.upsert([passage(f"d{i}", f"zebra word{i}")])
        stats = store._table.index_stats("_sp_words_idx")
        assert stats.num_unindexed_rows <= 0.2 * stats.num_indexed_rows


def test_small_commits_do_not_leave_ever_more_fragments(tmp_path, monkeypatch):
    monkeypatch.setattr(lance_table, "MOST_FRAGMENTS", 8)
    embedder = HashedEmbedder()
    store = open_index(tmp_path, embedder)
    texts = {f"d{i}": f"zebra word{i}" for i in range(30)}
    for number, (name, text) in enumerate(texts.items()):
        vector = embedder.encode([text])[0]
        stored = Passage(name, text, metadata={"n": number}, embedding=vector)
        store.upsert([stored], files={f"{name}.txt": "digest"})
        fragments = store._table.stats()["fragment_stats"]["num_fragments"]
        assert fragments <= 8 + 1
    store.upsert([replace(stored, text="giraffe")])
    assert store.count_passages() == 30
    assert store.files() == {f"{name}.txt": "digest" for name in texts}
    assert [h.id for h in store.bm25("word7", 5, "n = 7")] == ["d7"]
    assert store.bm25("word29", 5) == []
    hits = store.vector(embedder.encode(["zebra word3"])[0], 1)
    assert [(h.id, round(h.score, 3)) for h in hits] == [("d3", 1.0)]
    assert {h.id: h.document.text for h in store.list_passages(limit=None)} == {
        **texts,
        "d29": "giraffe",
    }


def test_an_index_of_many_partitions_finds_what_is_nearest(tmp_path, monkeypatch):
    # 100 partitions, as of 400,000 passages.
    monkeypatch.setattr(lance_table, "ROWS_PER_PARTITION", 16)
    monkeypatch.setattr("secondpass.retrieve.backends.lance.store.VECTOR_INDEX_FROM", 1600)
    embedder = HashedEmbedder(128)
    vectors = np.random.default_rng(0).normal(size=(1600, embedder.dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = open_index(tmp_path, embedder)
    store.upsert([Passage(str(n), "a", embedding=v) for n, v in enumerate(vectors)])
    store.optimize()
    assert any(i.columns == ["_sp_vector"] for i in store._table.list_indices())
    found = 0
    for vector in vectors[:20]:
        nearest = np.argsort(-(vectors @ vector))[:10]
        found += len({h.id for h in store.vector(vector, 10)} & {str(n) for n in nearest})
    # Codes of one bit lose some of these; with a third of the partitions 155 were found.
    assert found >= 170


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_document_is_replaced_whatever_there_was_of_it(tmp_path, before):
    store = open_index(tmp_path)
    other = Passage("other", "giraffe", source="f")
    old = [Passage("d", f"zebra old{n}", chunk=n + 1, source="f") for n in range(before)]
    store.upsert([other, *old], files={"f": "digest", "d": "of a file"})
    new = [Passage("d", f"zebra new{n}", chunk=n + 1) for n in range(2)]
    store.upsert([*new, Passage("fresh", "zebra")], files={"g": "digest"})
    assert {h.id for h in store.bm25("zebra", 9)} == {"d#1", "d#2", "fresh"}
    assert store.count_passages() == 4
    assert store.files() == {"f": "digest", "d": "of a file", "g": "digest"}


def test_texts_are_stored_once(tmp_path):
    store = open_index(tmp_path)
    texts = [n for n in store._table.schema.names if "text" in n or "search" in n]
    assert texts == ["_sp_search"]


def test_an_error_of_the_engine_is_one_of_ours(tmp_path):
    store = open_index(tmp_path)
    store.upsert([passage("a", "zebra")])
    for file in (tmp_path / "passages.lance" / "data").iterdir():
        file.unlink()
    with pytest.raises(IndexStoreError, match=str(tmp_path)):
        open_index(tmp_path).bm25("zebra", 1)
