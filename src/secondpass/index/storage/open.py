"""Opening or creating an index in object storage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondpass.errors import IndexNotFoundError, InputError
from secondpass.index.storage.lease import Lease
from secondpass.index.storage.local_copy import MAX_BYTES, LocalCopy, default_folder
from secondpass.index.storage.objects import is_url, open_objects
from secondpass.index.storage.store import RemoteStore, RemoteVersions
from secondpass.index.storage.versions import PublishedVersions
from secondpass.rerank.inputs import require_count
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.retrieve.chunking import OVERLAP
from secondpass.retrieve.settings import IndexSettings, States, parse_states
from secondpass.retrieve.store_protocol import TextEncoder
from secondpass.storage import expand_home

FOLLOW_SECONDS = 5.0
"""How often a new version is looked for."""


def open_store(
    place: str | Path,
    embedder: TextEncoder | None = None,
    *,
    language: str | None = None,
    chunk_tokens: int | None = None,
    overlap: int = OVERLAP,
    create: bool = True,
    states: States | None = None,
    keep_states: bool | None = None,
    storage_options: Mapping[str, Any] | None = None,
    local_folder: str | Path | None = None,
    local_bytes: int | None = None,
) -> LanceStore:
    """Open the index in a folder or at a URL, or create one; the options are `Index.open`'s.

    Without an embedder, a new index has no vectors, and that of an existing one is not checked.
    Raises InputError for options of object storage with a folder, and what `open_index` and
    `open_remote` raise.
    """
    remote = {
        "storage_options": storage_options,
        "local_folder": local_folder,
        "local_bytes": local_bytes,
    }
    given: dict[str, Any] = {name: v for name, v in remote.items() if v is not None}
    options: Any = {
        "language": language,
        "chunk_tokens": chunk_tokens,
        "overlap": overlap,
        "create": create,
        "states": states,
        "keep_states": keep_states,
    }
    if isinstance(place, str) and is_url(place):
        return open_remote(place, embedder, **options, **given)
    for name in given:
        raise InputError(
            f"{name} is for an index in object storage",
            where=str(place),
            fix="Leave it out, or give a URL such as s3://BUCKET/PREFIX.",
        )
    return open_index(place, embedder, **options)


def open_remote(
    url: str,
    embedder: TextEncoder | None,
    *,
    language: str | None,
    chunk_tokens: int | None,
    overlap: int,
    create: bool,
    keep_states: bool | None,
    states: States | None = None,
    storage_options: Mapping[str, Any] | None = None,
    local_folder: str | Path | None = None,
    local_bytes: int = MAX_BYTES,
    lease: Lease | None = None,
    follow: float = FOLLOW_SECONDS,
) -> RemoteStore:
    """Open the index at a URL, or create one if there is none and `create` is True.

    The options are those of `Index.open`, and those of an existing index are used as
    `open_index` does. `lease`: None for one with the usual times; `follow`: how often, in
    seconds, a new version is looked for.

    Raises IndexNotFoundError if there is none and `create` is False, and what `open_objects`,
    `open_index` and `RemoteVersions.pull` raise.
    """
    objects = open_objects(url, storage_options)
    folder = default_folder(objects.url) if local_folder is None else expand_home(local_folder)
    copy = LocalCopy(folder.absolute(), objects, require_count("local_bytes", local_bytes))
    if lease is None:
        lease = Lease(objects, last_epoch=PublishedVersions(objects).last_epoch)
    remote = RemoteVersions(objects, copy, lease)

    def make(view: Path, settings: IndexSettings) -> RemoteStore:
        return RemoteStore(view, settings, remote)

    try:
        there = remote.pull()
        if not there and not create:
            raise IndexNotFoundError(
                "there is no index",
                where=objects.url,
                fix="Create one: Index.open(URL) makes it where the prefix is empty.",
            )
        view = remote.view if there else copy.make_view({})
        if view is None:
            raise ValueError("an empty view needs no content")
        remote.view = view
        store = open_index(
            view,
            embedder,
            language=language,
            chunk_tokens=chunk_tokens,
            overlap=overlap,
            create=not there,
            states=None if there else states,
            keep_states=None if there else keep_states,
            make=make,
            place=objects.url,
        )
        if not isinstance(store, RemoteStore):
            raise TypeError("open_index opens what `make` makes")
        if not there and store.folder != view:
            # Another process has created it in the meantime, perhaps with other settings.
            open_index(
                store.folder, embedder, language=language, create=False, place=objects.url
            ).close()
        store.take_in_states()
        store.record_states(parse_states(states, keep_states, store.settings.states))
        store.follow(follow)
    except BaseException:
        remote.close()
        raise
    return store
