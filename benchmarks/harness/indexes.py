"""The index of a collection, built once and cached."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from beir import Collection

from harness.progress import progress_bar
from secondpass import Embedder, Index
from secondpass.retrieve.settings import read_settings, write_settings


def open_index(
    collection: Collection, embedder: Embedder, path: Path, *, fresh: bool = False
) -> Index:
    """Return the collection's index in the folder `path`, built first if it is not complete.

    The folder's name must tell which embedder's vectors these are.
    """
    done, total = path.with_name(f"{path.name}.done"), len(collection.documents)
    finished = done.is_file() and done.read_text("utf-8").strip() == str(total)
    if fresh or (done.is_file() and not finished):
        done.unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        finished = False
    path.parent.mkdir(parents=True, exist_ok=True)
    if (path / "index.json").is_file():
        settings = read_settings(path)
        # The same vectors from a graph with other bytes; see `embedder_key`.
        if settings.embedder_digest != embedder.digest:
            write_settings(path, replace(settings, embedder_digest=embedder.digest))
    index = Index.open(path, embedder=embedder)
    if not finished:
        with progress_bar(f"{collection.name}: indexing", total) as advance:
            index.add(collection.documents, progress=advance)
        index.optimize()
        done.write_text(f"{total}\n", "utf-8")
    return index
