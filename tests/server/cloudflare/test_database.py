"""The SQLite database of an instance."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondpass.errors import IndexStoreError
from secondpass.server.cloudflare.database import FILE_NAME, Database
from secondpass.server.cloudflare.items import ItemStore


def test_a_damaged_schema_is_an_error_that_says_so(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.release()
    file = tmp_path / FILE_NAME
    # SQLite quotes it in its message, which then is not text either.
    damaged = file.read_bytes().replace(b"CREATE TABLE jobs", b"CRE\xc1TE TABLE jobs")
    file.write_bytes(damaged)
    with pytest.raises(IndexStoreError, match="its schema is damaged"):
        database.fetch_all("SELECT * FROM items")
    with pytest.raises(IndexStoreError, match="its schema is damaged"):
        Database(tmp_path)
    assert file.read_bytes() == damaged
    database.close()


def test_many_databases_are_open_a_few_at_a_time(tmp_path: Path) -> None:
    made = []
    for number in range(80):
        folder = tmp_path / str(number)
        folder.mkdir()
        database = Database(folder)
        ItemStore(folder, database).put("a.md", b"x", ".md", "text/markdown", {})
        made.append(database)
    assert sum(d._connection is not None for d in made) <= 64
    for database in made:
        row = database.fetch_one("SELECT COUNT(*) AS n FROM items")
        assert row is not None
        assert row["n"] == 1
        database.close()
