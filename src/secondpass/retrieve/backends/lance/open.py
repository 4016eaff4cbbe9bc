"""Opening or creating an index folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from secondpass.errors import IndexNotFoundError, IndexStoreError, InputError
from secondpass.retrieve.backends.lance.store import LOCK, LanceStore
from secondpass.retrieve.backends.lance.table import load
from secondpass.retrieve.chunking import CHUNK_TOKENS, OVERLAP, check_chunking
from secondpass.retrieve.languages import parse_language
from secondpass.retrieve.settings import (
    IndexSettings,
    States,
    parse_states,
    read_settings,
    write_settings,
)
from secondpass.retrieve.store_protocol import TextEncoder
from secondpass.storage import exclusive, expand_home, store_error

# Two letters and more: one is a drive of Windows.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def open_index(
    path: str | Path,
    embedder: TextEncoder | None = None,
    *,
    language: str | None = None,
    chunk_tokens: int | None = CHUNK_TOKENS,
    overlap: int = OVERLAP,
    create: bool = True,
    states: States | None = None,
    keep_states: bool | None = None,
    make: Callable[[Path, IndexSettings], LanceStore] = LanceStore,
    place: str | None = None,
) -> LanceStore:
    """Open the index in a folder, or create one if there is none and `create` is True.

    `language`, `chunk_tokens` and `overlap` apply to a new index; for an existing one, only
    a different `language` is refused. `states` are recorded in a new index (None: "full")
    and in an existing one (None: unchanged); `keep_states` is the older name, see
    `parse_states`. Without an embedder, a new index has no vectors,
    and the embedder of an existing one is not checked. `make` makes the store; `place` names
    the index in messages, by default its folder.

    Raises IndexNotFoundError if there is none and `create` is False, IndexStoreError if it
    cannot be used, InputError for an unknown language.
    """
    folder = local_folder(path)
    name = None if language is None else parse_language(language)
    check_chunking(chunk_tokens, overlap)
    try:
        settings = read_settings(folder)
    except IndexNotFoundError:
        if not create:
            raise
        settings = IndexSettings(
            language="english" if name is None else name,
            dimension=0 if embedder is None else embedder.dimension,
            embedder=None if embedder is None else embedder.name,
            embedder_digest=None if embedder is None else embedder.digest,
            chunk_tokens=chunk_tokens,
            overlap=overlap,
        ).with_states(parse_states(states, keep_states))
        _create(folder, settings)
        settings = read_settings(folder)
    _check(place or str(folder), settings, embedder, name)
    if not LanceStore.exists(folder):
        if not create:
            raise _unfinished(folder)
        _create(folder, settings)
    changed = settings.with_states(parse_states(states, keep_states, settings.states))
    if changed != settings:
        settings = changed
        _record(folder, settings)
    store = make(folder, settings)
    if not store.has_text_index:
        if not create:
            raise _unfinished(folder)
        store.ensure_text_index()
    return store


def local_folder(path: str | Path) -> Path:
    """Return the folder that a path means: "~" is the home folder, a URL is refused.

    Raises InputError for "s3://…" and the like.
    """
    if _URL.match(str(path)):
        raise InputError(
            f"an index is a folder on this machine, and {str(path)!r} is a URL",
            fix="Give the path of a folder, such as my-index. Index.open takes URLs of object "
            "storage: s3://, gs:// and az://.",
        )
    folder = expand_home(path)
    # LanceDB would take the relative name "s3:x" for a URL.
    return folder.absolute() if ":" in folder.name else folder


def _unfinished(folder: Path) -> IndexStoreError:
    return IndexStoreError(
        "the index is incomplete",
        where=str(folder),
        why="its creation was interrupted before anything was stored",
        fix=f"Run again: secondpass index PATH --index {folder}",
    )


def _create(folder: Path, settings: IndexSettings) -> None:
    # First, so that a missing package leaves no folder behind.
    load()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / LOCK):
            # Another process may have created it in the meantime.
            if not LanceStore.exists(folder):
                write_settings(folder, settings)
                LanceStore.create(folder, settings)
    except (OSError, RuntimeError, ValueError) as error:
        failed = store_error("the index cannot be created", folder, error)
        fix = "Give a folder that can be written to." if failed.fix is None else failed.fix
        raise IndexStoreError(
            failed.what, where=failed.where, why=failed.why, fix=fix, errno=failed.errno
        ) from error


def _record(folder: Path, settings: IndexSettings) -> None:
    try:
        with exclusive(folder / LOCK):
            write_settings(folder, settings)
    except OSError as error:
        raise IndexStoreError(
            "the index cannot be changed",
            where=str(folder),
            why=str(error),
            fix="Leave states out, or make the folder writable.",
            errno=store_error("", folder, error).errno,
        ) from error


def _check(
    place: str, settings: IndexSettings, embedder: TextEncoder | None, language: str | None
) -> None:
    if language is not None and language != settings.language:
        raise IndexStoreError(
            f"the index is not in {language}",
            where=place,
            why=f"it was made for {settings.language}",
            fix="Leave the language out, or index into another folder.",
        )
    if embedder is None or not settings.dimension:
        return
    if embedder.digest != settings.embedder_digest or embedder.dimension != settings.dimension:
        raise IndexStoreError(
            "the index was made with another embedder",
            where=place,
            why=f"it was {settings.embedder!r} with {settings.dimension} dimensions, and this "
            f"is {embedder.name!r} with {embedder.dimension} (or its weights differ)",
            fix="Open it with that embedder, or index again into another folder.",
        )
