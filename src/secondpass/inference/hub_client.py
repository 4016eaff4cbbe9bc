"""Client of the Hugging Face Hub: file lists, downloads that resume, errors and progress."""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from secondpass.errors import ModelDamagedError, ModelError, ModelNotFoundError
from secondpass.inference.model_folder import sha256
from secondpass.storage import exclusive, place_problem

COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BARS = ("huggingface_hub.http_get", "huggingface_hub.xet_get")

LOGGER = "secondpass.models"
"""The logger of what happens to downloaded models."""

_log = logging.getLogger(LOGGER)

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in total)."""

ShowProgress = Callable[[str], AbstractContextManager[Progress]]
"""Called with what is downloaded, for the time of it."""


class UnreachableError(ModelError):
    """The Hub cannot be reached, is not to be, or has a failure of its own."""


class RevisionNotFoundError(ModelNotFoundError):
    """The repository has no such branch, tag or commit, or no longer."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository: its size in bytes, and its SHA-256 if the Hub publishes it."""

    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteRepository:
    """A repository at a commit: its files by name."""

    commit: str
    files: Mapping[str, RemoteFile]


def cache_folder() -> Path:
    """Return the download cache of the Hub's client (`HF_HUB_CACHE`, or in `HF_HOME`)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_folder(repository: str) -> Path:
    """Return the folder of a repository in the download cache."""
    return cache_folder() / f"models--{repository.replace('/', '--')}"


def snapshot_folder(repository: str, commit: str) -> Path:
    """Return the folder with the files of a commit, whether or not it is there."""
    return repository_folder(repository) / "snapshots" / commit


def cached_commit(repository: str, revision: str) -> str | None:
    """Return the commit that the cache has for a branch or tag, "" for the default one."""
    reference = repository_folder(repository) / "refs" / (revision or "main")
    try:
        commit = reference.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return commit if COMMIT.fullmatch(commit) else None


def list_files(repository: str, revision: str) -> RemoteRepository:
    """Return the commit of a branch, tag or commit ("" for the default branch) and its files.

    Raises `UnreachableError`, `ModelNotFoundError` for a repository or revision that there is
    not, `ModelError` for one that cannot be read.
    """
    from huggingface_hub import HfApi, constants

    with _translate_errors(repository, revision):
        info = HfApi().model_info(
            repository,
            revision=revision or None,
            files_metadata=True,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        )
    if not COMMIT.fullmatch(info.sha or "") or info.siblings is None:
        raise ModelError(
            "The answer of the Hub has no commit or no list of files",
            where=f"{repository} at {constants.ENDPOINT}",
            fix="Check HF_ENDPOINT: a mirror must serve /api/models too.",
        )
    files = {
        sibling.rfilename: RemoteFile(
            sibling.size or 0, None if sibling.lfs is None else sibling.lfs.sha256
        )
        for sibling in info.siblings
    }
    return RemoteRepository(str(info.sha), files)


def fetch_file(
    repository: str,
    commit: str,
    name: str,
    *,
    expected: str | None = None,
    count: Callable[[int], None] = lambda _: None,
) -> Path:
    """Download a file of a commit into the cache, or find it there; return its path.

    A large file (of Git LFS) continues where an earlier download was interrupted, and counts
    only once its SHA-256 is right. `expected` is its SHA-256 if it is known; `count` is called
    with the number of bytes of each part. Raises what `list_files` does, and
    `ModelDamagedError` for another SHA-256 than `expected`.
    """
    from huggingface_hub import hf_hub_download

    found = snapshot_folder(repository, commit) / name
    if found.is_file():
        count(found.stat().st_size)
        return found
    with _translate_errors(repository, commit, name), _without_bars():
        counted = _fetch_large(repository, commit, name, expected, count)
        file = Path(hf_hub_download(repository, name, revision=commit))
        if not counted:
            count(file.stat().st_size)
    return file


def delete_file(repository: str, commit: str, name: str) -> None:
    """Delete a file of a commit from the cache, and the content that its name stands for."""
    file = snapshot_folder(repository, commit) / name
    # Only within the cache: the name of a damaged cache may stand for any file.
    content, cache = file.resolve(), cache_folder().resolve()
    if content.is_relative_to(cache):
        content.unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def _fetch_large(
    repository: str,
    commit: str,
    name: str,
    expected: str | None,
    count: Callable[[int], None],
) -> bool:
    """Download a file of Git LFS to its place in the cache; return False for any other file.

    The Hub's client of version 2 begins an interrupted file from its start.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        return False
    url = hf_hub_url(repository, name, revision=commit, endpoint=constants.ENDPOINT)
    metadata = get_hf_file_metadata(url, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
    checksum, size = metadata.etag, metadata.size
    if checksum is None or not _SHA256.fullmatch(checksum) or size is None:
        return False
    if expected is not None and checksum != expected:
        raise _differs(repository, commit, name, checksum, expected)
    folder = repository_folder(repository)
    blob = folder / "blobs" / checksum
    blob.parent.mkdir(parents=True, exist_ok=True)
    locks = cache_folder() / ".locks" / folder.name
    locks.mkdir(parents=True, exist_ok=True)
    with exclusive(locks / f"{checksum}.secondpass.lock"):
        if blob.exists():
            count(size)
            return True
        partial = blob.with_name(f"{checksum}.secondpass.incomplete")
        have = partial.stat().st_size if partial.exists() else 0
        if have > size:
            partial.unlink()
            have = 0
        _check_space(partial.parent, size - have)
        count(have)
        with partial.open("ab") as stream:
            _get_rest(url, _Counted(stream, count), have, size, name)
            stream.flush()
            os.fsync(stream.fileno())
        actual = sha256(partial)
        if actual != checksum:
            partial.unlink()
            raise _differs(repository, commit, name, actual, checksum)
        partial.replace(blob)
    return True


def _get_rest(url: str, file: _Counted, have: int, size: int, name: str) -> None:
    """Write the bytes of a URL from `have` on to a file, as long as some arrive."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    while have < size:
        try:
            http_get(
                url,
                # The client only writes, seeks, tells and truncates.
                file,  # type: ignore[arg-type]
                resume_size=have,
                headers=build_hf_headers(),
                expected_size=size,
                displayed_filename=name,
            )
        except (_transport_error(), OSError) as error:
            now = file.size()
            if place_problem(error) is not None or not have < now < size:
                raise
            _log.info("%s: interrupted at byte %d (%s)", name, now, _reason(error))
        have = file.size()


class _Counted:
    """A binary file that counts what is written to it."""

    def __init__(self, stream: IO[bytes], count: Callable[[int], None]) -> None:
        self._stream, self._count = stream, count

    def write(self, data: bytes) -> int:
        written = self._stream.write(data)
        self._count(written)
        return written

    def size(self) -> int:
        position = self._stream.tell()
        size = self._stream.seek(0, os.SEEK_END)
        self._stream.seek(position)
        return size

    def truncate(self, size: int | None = None) -> int:
        # A server that knows no ranges sends the whole file again.
        before = self.size()
        after = self._stream.truncate(size)
        self._count(after - before)
        return after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _differs(
    repository: str, commit: str, name: str, actual: str, expected: str
) -> ModelDamagedError:
    return ModelDamagedError(
        f"The model file {name} is another one than expected",
        where=f"{repository} at {commit[:12]}",
        why=f"its SHA-256 is {actual[:12]}…, expected is {expected[:12]}…",
        fix="Run the same again. If that does not help, what is at HF_ENDPOINT is not what was "
        "pinned: compare both with the model's page.",
    )


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            "The model cannot be downloaded",
            where=str(folder),
            why=f"it needs {needed / 1e6:,.0f} MB more, and {free / 1e6:,.0f} MB are free",
            fix="Make space, or set HF_HOME to a folder on a larger disk; then run the same "
            "again: what was downloaded is kept.",
        )


@contextmanager
def _translate_errors(repository: str, revision: str, name: str = "") -> Iterator[None]:
    """Raise errors of the package for those of the Hub's client."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )
    from huggingface_hub.errors import RevisionNotFoundError as HubRevisionNotFoundError

    at = f" at {revision[:12] if COMMIT.fullmatch(revision) else revision}" if revision else ""
    where = f"{name} of {repository}{at}" if name else f"{repository}{at}"
    page = f"{constants.ENDPOINT}/{repository}"
    try:
        yield
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        offline = constants.HF_HUB_OFFLINE
        raise UnreachableError(
            "The model is not in the cache and cannot be downloaded",
            where=where,
            why="HF_HUB_OFFLINE is set" if offline else _reason(error.__cause__ or error),
            fix="Download it once with a network: secondpass models download "
            f"{repository}; or use the bundled model.",
        ) from error
    except EntryNotFoundError as error:
        raise ModelNotFoundError("The repository has no such file", where=where) from error
    except GatedRepoError as error:
        raise ModelError(
            f"{repository!r} is given only to users who have agreed to its terms",
            where=where,
            why=_reason(error),
            fix=f"Agree at {page}, then set HF_TOKEN to a token of that account, or run: hf "
            "auth login",
        ) from error
    except HubRevisionNotFoundError as error:
        raise RevisionNotFoundError(
            f"There is no model {repository!r} at that revision",
            where=where,
            fix=f"Its branches, tags and commits are at {page}/tree/main.",
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"There is no model {repository!r}",
            where=constants.ENDPOINT,
            why="it is not there, or not for this HF_TOKEN",
            fix="Check the spelling; a private model needs HF_TOKEN, and a folder is written "
            f"./{repository}.",
        ) from error
    except HFValidationError as error:
        raise ModelNotFoundError(
            f"{repository!r} cannot be the name of a model", why=_reason(error)
        ) from error
    except (_transport_error(), OSError) as error:
        problem = place_problem(error)
        if problem is not None:
            raise ModelError(
                "The model cannot be downloaded",
                where=str(getattr(error, "filename", None) or cache_folder()),
                why=problem.why,
                fix=problem.fix,
            ) from error
        status = getattr(getattr(error, "response", None), "status_code", None)
        kind = UnreachableError if status is None or status >= 500 else ModelError
        raise kind(
            "The model cannot be downloaded",
            where=where,
            why=_reason(error),
            fix="Check HF_TOKEN: the Hub does not accept it."
            if status in (401, 403)
            else f"Check that {constants.ENDPOINT} can be reached (HF_ENDPOINT, HTTPS_PROXY), "
            "then run the same again: what was downloaded is kept.",
        ) from error


def _transport_error() -> type[Exception]:
    """Return the base of the client's HTTP errors: it has changed its HTTP library twice."""
    from huggingface_hub.errors import HfHubHTTPError

    base: type[Exception] = HfHubHTTPError.__bases__[0]
    return base


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


_bars = threading.Lock()
_downloads = 0
_hidden: list[str] = []


@contextmanager
def _without_bars() -> Iterator[None]:
    """Hide the client's bar of each file, unless its environment variable says otherwise."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    global _downloads
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is not None:
        yield
        return
    with _bars:
        _downloads += 1
        if _downloads == 1:
            # What the program has disabled itself must stay so.
            _hidden[:] = [name for name in _BARS if not are_progress_bars_disabled(name)]
            for name in _hidden:
                disable_progress_bars(name)
    try:
        yield
    finally:
        with _bars:
            _downloads -= 1
            if not _downloads:
                for name in _hidden:
                    enable_progress_bars(name)


@contextmanager
def _show_bar(what: str) -> Iterator[Progress]:
    """Show a bar after one second if standard error is a terminal; log beginning and end."""
    from huggingface_hub import constants
    from tqdm import tqdm  # type: ignore[import-untyped]

    _log.info("%s: started", what)
    began = time.monotonic()
    hidden = True if constants.HF_HUB_DISABLE_PROGRESS_BARS else None
    with tqdm(desc=what, unit="B", unit_scale=True, delay=1, disable=hidden) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
    _log.info("%s: finished after %.0f s", what, time.monotonic() - began)


_show: ShowProgress = _show_bar


def show_progress_with(show: ShowProgress | None) -> None:
    """Set how downloads show their progress in this process; None is the default, a bar."""
    global _show
    _show = _show_bar if show is None else show


@contextmanager
def count_bytes(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of a download; yields a function to call with each number of bytes."""
    done = 0
    with _show(what) as update:

        def count(more: int) -> None:
            nonlocal done
            done += more
            update(done, max(done, total))

        yield count
