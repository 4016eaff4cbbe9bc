"""Old indexes: what they say, and what the first write renews."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lancedb.index import FTS

from secondpass import Index
from secondpass.retrieve.backends.lance import table as lance_table
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.backends.lance.table import text_columns
from secondpass.retrieve.metadata import encode
from secondpass.retrieve.store_protocol import Passage
from tests.retrieve.hashed_embedder import HashedEmbedder

EMBEDDER = HashedEmbedder()
TEXTS = {"zh": "合同转让需要双方书面同意", "de": "Die Straße ist lang", "en": "running engines"}


def odd(name: str, text: str) -> dict[str, object]:
    """Return metadata with a name that version 1 made no column of, of mixed types."""
    return {"head": text, "Publish Date": {"zh": 1, "de": 2.5, "en": "new"}[name]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make an index as version 1 did: text indexes over the texts themselves."""
    store = open_index(tmp_path / "index", EMBEDDER)
    vectors = EMBEDDER.encode(list(TEXTS.values()))
    for (name, text), vector in zip(TEXTS.items(), vectors, strict=True):
        metadata = {"head": text}
        store.upsert([Passage(name, text, metadata=metadata, hash=name, embedding=vector)])
    table = store._table
    for name in text_columns(table):
        table.drop_index(f"{name}_idx")
    new = [n for n in table.schema.names if n.startswith(("_sp_words", "_spf_"))]
    table.drop_columns(new)
    for name, text in TEXTS.items():
        values = {"_sp_metadata": encode(odd(name, text))}
        table.update(where=f"_sp_doc = '{name}'", values=values)
    config = FTS(language="English", stem=True, remove_stop_words=True)
    for column in ("_sp_search", "head"):
        table.create_index(column, config=config)
    settings = json.loads((store.folder / "index.json").read_text())
    (store.folder / "index.json").write_text(json.dumps(settings | {"format": 1}))
    store.close()
    return tmp_path / "index"


def found(store: LanceStore, query: str, field: str | None = None) -> list[str]:
    return [hit.id for hit in store.bm25(query, 5, field=field)]


def test_an_old_index_is_searched_as_before_and_says_so(folder: Path) -> None:
    store = open_index(folder)
    assert found(store, "engine") == found(store, "engine", "head") == ["en"]
    assert found(store, "Straße") == ["de"]
    assert found(store, "合同") == []
    with Index.open(folder, embedder=EMBEDDER) as index:
        for mode in ("bm25", "hybrid"):
            reason = index.search("合同", mode=mode, rerank=False).reason
            assert f"secondpass index PATH --index {folder}" in str(reason)
        reason = index.search("合同", mode="vector", rerank=False).reason
        assert "earlier version" not in str(reason)


def test_the_first_write_renews_it_for_all_that_read_it(folder: Path) -> None:
    reader, writer = open_index(folder), open_index(folder)
    version = writer.version
    assert found(reader, "合同") == []
    vector = EMBEDDER.encode(["新"])[0]
    writer.upsert([Passage("new", "新しい合同", embedding=vector)])
    for store in (reader, writer, open_index(folder)):
        assert set(found(store, "合同")) == {"zh", "new"}
        assert found(store, "STRASSE") == found(store, "strasse", "head") == ["de"]
        assert found(store, "engine") == ["en"]
        assert store.keyword_note is None
    assert json.loads((folder / "index.json").read_text())["format"] == 2
    # Everything else of a passage stays, and so do older states.
    hits = {hit.id: hit for hit in writer.vector(EMBEDDER.encode([TEXTS["de"]])[0], 9)}
    assert hits["de"].document.text == TEXTS["de"]
    assert hits["de"].score == pytest.approx(1)
    assert {hit.document.metadata.get("head") for hit in hits.values()} >= set(TEXTS.values())
    old = writer.checkout(version)
    assert found(old, "engine") == ["en"]
    assert old.keyword_note is not None


def test_fields_of_any_name_become_columns(folder: Path) -> None:
    store = open_index(folder)
    assert dict(store.fields) == {"head": "text"}
    store.optimize()
    assert dict(store.fields) == {"head": "text", "Publish Date": "number"}
    assert [h.id for h in store.bm25("Straße 合同", 5, '"Publish Date" > 2')] == ["de"]
    hit = store.bm25("engines", 5, '"Publish Date" IS NULL')[0]
    assert hit.document.metadata["Publish Date"] == "new"


def test_optimize_renews_it_as_well(folder: Path) -> None:
    with Index.open(folder, embedder=EMBEDDER) as index:
        index.optimize()
        result = index.search("双方", mode="bm25", rerank=False)
        assert [hit.id for hit in result.results] == ["zh"]
        assert "earlier version" not in str(result.reason)


def test_a_renewal_goes_on_where_it_was_interrupted(folder: Path) -> None:
    store = open_index(folder)
    import pyarrow as pa

    store._table.add_columns([pa.field("_sp_words", pa.string())])
    done = pa.table({"_sp_doc": ["en"], "_sp_chunk": pa.array([0], pa.int32())})
    done = done.append_column("_sp_words", pa.array(["running engines"]))
    store._table.merge_insert(["_sp_doc", "_sp_chunk"]).when_matched_update_all().execute(done)
    # Until it is complete, the old text index is used.
    assert found(store, "engine") == ["en"]
    assert store.keyword_note is not None
    store.optimize()
    assert found(store, "engine") == ["en"]
    assert found(store, "合同") == ["zh"]


def test_one_thread_for_files_does_not_stop_the_engine(tmp_path: Path) -> None:
    code = (
        "import sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from pathlib import Path\n"
        "from secondpass.retrieve.backends.lance import table as lance_table\n"
        "table = lance_table.connect(Path(sys.argv[1])).create_table('t', [{'words': 'a b'}])\n"
        "lance_table.index_text(table, 'english', 'words')\n"
        "print(table.count_rows())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "LANCE_IO_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.stdout.split() == ["1"], ran.stderr


def test_one_thread_for_files_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANCE_IO_THREADS", "1")
    with pytest.warns(RuntimeWarning, match="LANCE_IO_THREADS=1 would make an index wait"):
        lance_table.load()
    assert os.environ["LANCE_IO_THREADS"] == "2"
    lance_table.load()
