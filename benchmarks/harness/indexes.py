"""The index of a collection, made once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from beir import Collection

from harness.progress import progress_bar
from secondpass import Embedder, Index
from secondpass.retrieve.settings import read_settings, write_settings


def open_index(
    collection: Collection, embedder: Embedder, where: Path, *, fresh: bool = False
) -> Index:
    """Return the collection's index in `where`, making it first if that was not finished.

    The caller says by `where` which embedder's vectors these are.
    """
    done, total = where.with_name(f"{where.name}.done"), len(collection.documents)
    finished = done.is_file() and done.read_text("utf-8").strip() == str(total)
    if fresh or (done.is_file() and not finished):
        done.unlink(missing_ok=True)
        shutil.rmtree(where, ignore_errors=True)
        finished = False
    where.parent.mkdir(parents=True, exist_ok=True)
    if (where / "index.json").is_file():
        settings = read_settings(where)
        # The same vectors from a graph with other bytes, as `embedders` found.
        if settings.embedder_digest != embedder.digest:
            write_settings(where, replace(settings, embedder_digest=embedder.digest))
    index = Index.open(where, embedder=embedder)
    if not finished:
        with progress_bar(f"{collection.name}: indexing", total) as advance:
            index.add(collection.documents, progress=advance)
        index.optimize()
        done.write_text(f"{total}\n", "utf-8")
    return index
