"""Lance tables of others, and an index of secondpass, by URL."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import lancedb
import pytest
from lancedb.index import FTS

from secondpass.errors import InputError, RetrieverError
from secondpass.retrieve.backends.database_url import file_url
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.registry import open_retriever
from secondpass.retrieve.ingest import add_documents
from secondpass.types import Document
from tests.retrieve.hashed_embedder import HashedEmbedder

ROWS = [
    {"id": 1, "body": "the cats are sleeping", "Stars": 3},
    {"id": 2, "body": "a dog", "Stars": 5},
]


def test_a_table_without_an_index_of_words_says_how_to_make_one(tmp_path: Path) -> None:
    table = lancedb.connect(tmp_path).create_table("docs", ROWS)
    url = file_url("lance", tmp_path / "docs.lance")
    with pytest.raises(InputError, match="create_fts_index"):
        open_retriever(url)
    table.create_index("body", config=FTS())
    with closing(open_retriever(url)) as retriever:
        found = retriever.retrieve("sleep cat", 5, "stars < 4")
        assert [c.document.id for c in found] == ["1"]
        assert retriever.describe().ranking == "BM25 of LanceDB"


def test_an_index_of_secondpass_is_opened_as_that(tmp_path: Path) -> None:
    embedder = HashedEmbedder()
    store = open_index(tmp_path / "own", embedder)
    add_documents([Document("a cat", id="c"), Document("a dog", id="d")], store, embedder)
    store.close()
    url = file_url("lance", tmp_path / "own")
    with closing(open_retriever(url, embedder=embedder)) as retriever:
        assert retriever.describe().modes[0] == "hybrid"
        assert retriever.retrieve("cat", 1)[0].document.id == "c"
    # Without that embedder only words are left.
    with closing(open_retriever(url)) as retriever:
        assert retriever.describe().modes == ("bm25",)
        assert retriever.retrieve("cat", 1)[0].document.id == "c"


def test_a_folder_that_is_missing_or_has_no_table(tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match="is no folder"):
        open_retriever(file_url("lance", tmp_path / "none"))
    with pytest.raises(InputError, match="no table"):
        open_retriever(file_url("lance", tmp_path))
