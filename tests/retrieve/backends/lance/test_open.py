from __future__ import annotations

import json

import pytest

from secondpass.errors import IndexNotFoundError, IndexStoreError, InputError
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.settings import FORMAT
from tests.retrieve.hashed_embedder import HashedEmbedder


def test_nothing_there(tmp_path):
    for folder in (tmp_path, tmp_path / "deeper" / "new"):
        with pytest.raises(IndexNotFoundError, match="secondpass index"):
            open_index(folder, create=False)
    assert not (tmp_path / "deeper").exists()
    open_index(tmp_path / "deeper" / "new")
    assert open_index(tmp_path / "deeper" / "new", create=False).count_passages() == 0


def test_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for create in (True, False):
        with pytest.raises(IndexStoreError, match="not an index"):
            open_index(tmp_path, create=create)
        with pytest.raises(IndexStoreError, match="a folder"):
            open_index(tmp_path / "notes.txt", create=create)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("leftover", [[], ["passages.lance/data"]])
def test_half_made(tmp_path, leftover):
    open_index(tmp_path / "whole", HashedEmbedder())
    half = tmp_path / "half"
    half.mkdir()
    (half / "index.json").write_bytes((tmp_path / "whole" / "index.json").read_bytes())
    for name in leftover:
        (half / name).mkdir(parents=True)
    with pytest.raises(IndexStoreError, match="incomplete"):
        open_index(half, HashedEmbedder(), create=False)
    assert open_index(half, HashedEmbedder()).count_passages() == 0
    assert open_index(half, create=False).bm25("cat", 1) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"format": 99}', "pip install -U"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "format"),
        ('{"format": 1, "dimension": "x"}', "dimension"),
    ],
)
def test_an_index_of_another_format(tmp_path, content, says):
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(IndexStoreError, match=says):
        open_index(tmp_path)


def test_another_embedder(tmp_path):
    open_index(tmp_path, HashedEmbedder())
    for other in (HashedEmbedder(digest="other"), HashedEmbedder(dimension=8)):
        with pytest.raises(IndexStoreError, match="another embedder"):
            open_index(tmp_path, other)
    open_index(tmp_path)


def test_the_settings_are_kept(tmp_path):
    open_index(tmp_path, HashedEmbedder(), chunk_tokens=None, overlap=0, language="sv")
    settings = open_index(tmp_path).settings
    assert (settings.chunk_tokens, settings.overlap, settings.language) == (None, 0, "swedish")
    assert settings.embedder == "hashed"
    assert json.loads((tmp_path / "index.json").read_text())["format"] == FORMAT


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexStoreError):
        open_index(tmp_path / "file" / "index")
    with pytest.raises(InputError, match="language"):
        open_index(tmp_path / "new", language="klingon")
    assert not (tmp_path / "new").exists()


def test_a_damaged_table_is_an_error_of_ours(tmp_path):
    store = open_index(tmp_path)
    store.close()
    for file in (tmp_path / "passages.lance" / "_versions").iterdir():
        file.write_bytes(b"junk")
    for create in (False, True):
        with pytest.raises(IndexStoreError, match="cannot be opened"):
            open_index(tmp_path, create=create)


def test_the_making_was_stopped_before_the_text_index(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("secondpass.retrieve.backends.lance.table.index_text", stop)
        with pytest.raises(KeyboardInterrupt):
            open_index(tmp_path)
    with pytest.raises(IndexStoreError, match="incomplete"):
        open_index(tmp_path, create=False)
    assert open_index(tmp_path).bm25("cat", 1) == []
