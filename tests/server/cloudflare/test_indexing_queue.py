"""The queue of items to be indexed."""

from __future__ import annotations

from pathlib import Path

from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.indexing_queue import IndexingQueue
from secondpass.server.cloudflare.items import ItemStore


def test_the_largest_document_count_of_an_item_is_remembered(tmp_path: Path) -> None:
    database = Database(tmp_path)
    store, queue = ItemStore(tmp_path, database), IndexingQueue(database)
    number = store.put("a.csv", b"x", ".csv", "text/csv", {}).id
    taken = queue.take()
    assert taken is not None
    queue.record_documents(taken, 7)
    assert queue.finish(taken, "error", documents=None, chunks=None, error="it broke")
    again = store.put("a.csv", b"y", ".csv", "text/csv", {})
    assert (again.id, again.documents, again.status) == (number, 7, "queued")
    assert not queue.finish(taken, "completed", documents=1, chunks=1, error=None)
    second = queue.take()
    assert second is not None
    queue.record_documents(second, 3)
    store.delete(number)
    gone = queue.take()
    assert gone is not None
    assert (gone.is_deleted, gone.documents) == (True, 7)
    database.close()
