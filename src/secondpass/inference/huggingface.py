"""Models of the Hugging Face Hub by name: resolved once, locked, downloaded and verified."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.errors import (
    InputError,
    ModelDamagedError,
    ModelError,
    ModelNotFoundError,
)
from secondpass.inference.hub_client import (
    COMMIT,
    LOGGER,
    RemoteFile,
    RevisionNotFoundError,
    UnreachableError,
    cache_folder,
    cached_commit,
    count_bytes,
    delete_file,
    fetch_file,
    list_files,
    snapshot_folder,
)
from secondpass.inference.model_folder import sha256
from secondpass.inference.model_lock import (
    FILE_NAME,
    STRICT_VARIABLE,
    ModelLock,
    Pin,
    PinnedFile,
    cache_lock,
    project_lock,
    requires_revision,
)
from secondpass.inference.repository_files import ONNX, choose_files, choose_weights

_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_REPOSITORY = re.compile(f"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]*")
_MAX_NAME, _MAX_REVISION = 96, 200

_log = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """A model in the download cache whose files were verified.

    `lock` is the file that recorded the commit and the checksums, None where none could be
    written. `from_cache` is True where the Hub could not be asked for the list of files.
    """

    name: str
    folder: Path
    pin: Pin
    lock: Path | None = None
    from_cache: bool = False

    @property
    def checksums(self) -> dict[str, str]:
        """The SHA-256 of each file by name."""
        return {name: file.sha256 for name, file in self.pin.files.items()}


def download(repository: str, revision: str = "") -> Path:
    """Return the folder of a repository's model, downloaded or from the cache, and verified.

    See `fetch_model`.
    """
    return fetch_model(repository, revision).folder


def fetch_model(
    repository: str,
    revision: str = "",
    *,
    update: bool = False,
    repair: bool = False,
    strict: bool | None = None,
    lock: ModelLock | None = None,
) -> FetchedModel:
    """Download a model, or find it in the cache, and verify its files.

    - `revision`: a full commit hash, or a branch or tag; "" for the default branch. Names that
      can move are resolved once: to the commit in the project's lock file, else in that of the
      download cache, else to the current one, which the latter then records.
    - `update`: resolve the name again, whatever is recorded.
    - `repair`: download files again that differ from their checksums.
    - `strict`: refuse names that can move and are not in the project's lock file; None leaves
      it to `SECONDPASS_REQUIRE_REVISION`.
    - `lock`: the project's lock file; None leaves it to `project_lock`.

    Only configuration, tokenizer and one set of weights are downloaded (see `choose_files`);
    no code of a repository is downloaded or run, and no pickle is read. Raises `ModelError` for
    what is refused, `ModelNotFoundError` if there is no such repository, revision or file,
    `ModelDamagedError` for a file that differs from its recorded checksum.
    """
    name = canonical_name(repository, revision)
    found = None
    if not update:
        found = _find_pin(
            repository,
            revision,
            name,
            project_lock() if lock is None else lock,
            strict=requires_revision() if strict is None else strict,
        )
    if found is None:
        return _resolve(repository, revision, name, update=update)
    pin, lock = found
    folder = snapshot_folder(repository, pin.commit)
    if repair:
        for file, recorded in pin.files.items():
            present = folder / file
            if present.is_file() and sha256(present) != recorded.sha256:
                delete_file(repository, pin.commit, file)
    remote = {f: RemoteFile(p.bytes, p.sha256) for f, p in pin.files.items()}
    try:
        _fetch_all(repository, name, pin.commit, remote)
    except RevisionNotFoundError as error:
        if COMMIT.fullmatch(revision):
            raise
        raise RevisionNotFoundError(
            f"The commit that was recorded for {name} is no longer in the repository",
            where=f"{pin.commit} in {lock.path}",
            fix=f"Record the current one: {_update_command(name, lock)}",
        ) from error
    _verify(name, folder, pin, lock)
    return FetchedModel(name, folder, pin, lock.path)


def canonical_name(repository: str, revision: str) -> str:
    """Return "owner/model", or "owner/model@revision" with a revision.

    Raises `ModelNotFoundError` for what cannot be the name of a repository or a revision.
    """
    if (
        not _REPOSITORY.fullmatch(repository)
        or len(repository) > _MAX_NAME
        or "--" in repository
        or ".." in repository
    ):
        raise ModelNotFoundError(
            f"{repository!r} cannot be the name of a model",
            fix="Names are OWNER/MODEL: letters, digits, and . _ - between them.",
        )
    if not revision:
        return repository
    parts = revision.split("/")
    if (
        not _REVISION.fullmatch(revision)
        or len(revision) > _MAX_REVISION
        or ".." in revision
        or any(not part or part.startswith(".") for part in parts)
    ):
        raise ModelNotFoundError(
            f"{revision!r} cannot be a revision of {repository}",
            fix="A revision is a commit, a branch or a tag, as in "
            f"{repository}@main or {repository}@refs/pr/1.",
        )
    return f"{repository}@{revision}"


def _find_pin(
    repository: str, revision: str, name: str, project: ModelLock | None, *, strict: bool
) -> tuple[Pin, ModelLock] | None:
    """Return what is recorded for a name, with the lock file that does.

    Raises `ModelError` for a name that can move where only exact commits are allowed.
    """
    exact = bool(COMMIT.fullmatch(revision))
    locks = [cache_lock()] if exact or not strict else []
    for lock in [project, *locks]:
        if lock is None:
            continue
        pin = lock.checksums(repository, revision) if exact else lock.find(name)
        if pin is not None:
            return pin, lock
    if strict and not exact:
        raise ModelError(
            f"{name!r} needs an exact revision",
            where=f"{STRICT_VARIABLE} is set",
            why="a branch or tag can move to another commit"
            if revision
            else "none was given, and no lock file has one",
            fix=f"Name the 40-digit commit, as in {repository}@0123…, or record one in "
            f"{FILE_NAME if project is None else project.path}: "
            f"secondpass models pin {name}",
        )
    return None


def _resolve(repository: str, revision: str, name: str, *, update: bool) -> FetchedModel:
    """Resolve a name to its current commit, download that, and record it."""
    try:
        remote = list_files(repository, revision)
    except UnreachableError as error:
        cached = None if update else _fetch_offline(repository, revision, name)
        if cached is None:
            raise
        _log.warning(
            "%s is %s of the download cache: the Hub cannot be reached (%s), so its files "
            "were not compared with published checksums",
            *(name, cached.pin.commit, error.why),
        )
        return cached
    commit = remote.commit

    def read(file: str) -> Any:
        return _parse(fetch_file(repository, commit, file, expected=remote.files[file].sha256))

    names = choose_files(repository, remote.files, read)
    _fetch_all(repository, name, commit, {file: remote.files[file] for file in names})
    folder = snapshot_folder(repository, commit)
    pin = _measure(folder, commit, names)
    for file in names:
        published = remote.files[file].sha256
        if published is not None and published != pin.files[file].sha256:
            delete_file(repository, commit, file)
            raise _damaged(name, folder / file, pin.files[file].sha256, published, "the Hub")
    lock = cache_lock()
    try:
        recorded = lock.add(name, pin, replace=update)
    except OSError as error:
        _log.warning("%s is %s, but %s cannot be written: %s", name, commit, lock.path, error)
        return FetchedModel(name, folder, pin)
    if recorded.commit != commit:
        # Another process was first, and the branch has moved in between.
        return fetch_model(repository, revision)
    if not COMMIT.fullmatch(revision):
        _log.warning(
            "%s is commit %s from now on, as recorded in %s. To pin it in code, write %s; for "
            "a team: secondpass models pin %s",
            *(name, commit, lock.path, f"{repository}@{commit}", name),
        )
    return FetchedModel(name, folder, pin, lock.path)


def _fetch_offline(repository: str, revision: str, name: str) -> FetchedModel | None:
    """Return a model that another program has put into the cache, None if it is not complete.

    It is not recorded: files that the repository has may be missing in the cache.
    """
    exact = COMMIT.fullmatch(revision)
    commit = revision if exact else cached_commit(repository, revision)
    if commit is None:
        return None
    folder = snapshot_folder(repository, commit)
    names = _list_local(folder)
    try:
        chosen = choose_files(repository, names, lambda file: _parse(folder / file))
    except (ModelNotFoundError, ModelDamagedError):
        return None
    return FetchedModel(name, folder, _measure(folder, commit, chosen), from_cache=True)


def _fetch_all(repository: str, name: str, commit: str, files: dict[str, RemoteFile]) -> None:
    folder = snapshot_folder(repository, commit)
    absent = [file for file in files if not (folder / file).is_file()]
    if not absent:
        return
    # Weights last, and of them the file that says that there are some.
    absent.sort(key=lambda file: (file in ONNX, files[file].size))
    total = sum(files[file].size for file in absent)
    with count_bytes(f"Downloading {name}", total) as count:
        for file in absent:
            fetch_file(repository, commit, file, expected=files[file].sha256, count=count)


def _measure(folder: Path, commit: str, names: list[str]) -> Pin:
    files = {
        name: PinnedFile(sha256(folder / name), (folder / name).stat().st_size)
        for name in names
    }
    return Pin(commit, files)


def _verify(name: str, folder: Path, pin: Pin, lock: ModelLock) -> None:
    """Compare every file with its recorded checksum.

    Raises `ModelDamagedError` for the first that differs, and for weights that the folder has
    and the lock has not: they might be loaded in place of the others.
    """
    for file, recorded in pin.files.items():
        actual = sha256(folder / file)
        if actual != recorded.sha256:
            raise _damaged(name, folder / file, actual, recorded.sha256, str(lock.path))
    weights = choose_weights(_list_local(folder), lambda file: _parse(folder / file))
    unknown = [file for file in weights if file not in pin.files]
    if unknown:
        raise ModelDamagedError(
            f"The model file {unknown[0]} is not recorded",
            where=str(folder / unknown[0]),
            why=f"{lock.path} has no checksum of it",
            fix=f"Delete the file, or record the model again: {_update_command(name, lock)}",
        )


def _damaged(
    name: str, file: Path, actual: str, recorded: str, source: str
) -> ModelDamagedError:
    return ModelDamagedError(
        f"The model file {file.name} is damaged",
        where=str(file),
        why=f"its SHA-256 is {actual[:12]}…, that in {source} is {recorded[:12]}…",
        fix=f"Download it again: secondpass models download {name}",
    )


def _update_command(name: str, lock: ModelLock) -> str:
    if lock.path == cache_lock().path:
        return f"secondpass models download {name} --update"
    return f"secondpass models pin {name} --update --lock {lock.path}"


def _list_local(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def _parse(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelDamagedError(
            f"{file.name} cannot be read", where=str(file), why=str(error)
        ) from error


def split_revision(name: str) -> tuple[str, str]:
    """Return (repository, revision) of "owner/model" or "owner/model@revision".

    Raises InputError for a name that ends in "@".
    """
    repository, at, revision = name.partition("@")
    if at and not revision:
        raise InputError(
            f"There is no revision after the @ of {name!r}",
            fix=f"Write {repository}, or {repository}@REVISION.",
        )
    return repository, revision


def list_cached() -> list[tuple[str, int, Path]]:
    """List the models in the download cache: ("owner/model@commit", bytes, folder)."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(cache_folder()).repos
    except CacheNotFound:
        return []
    return sorted(
        (
            f"{repo.repo_id}@{revision.commit_hash}",
            revision.size_on_disk,
            revision.snapshot_path,
        )
        for repo in repositories
        if repo.repo_type == "model"
        for revision in repo.revisions
    )
