"""Object storage: one interface to S3, Google Cloud Storage, Azure and a local folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from secondpass.errors import IndexStoreError, InputError, MissingExtraError, nearest
from secondpass.storage import exclusive, expand_home, replace_file

SCHEMES = ("s3", "gs", "az", "file")
# Two letters and more: one is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# What storage_options has for the HTTP client, in the words of LanceDB and object_store.
_CLIENT_OPTIONS = (
    *("allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_url", "timeout"),
    "user_agent",
)
_ENDPOINTS = ("aws_endpoint", "aws_endpoint_url", "endpoint", "endpoint_url")
_ENDPOINTS_IN_ENVIRONMENT = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_RETRIES = 4
_RETRY_SECONDS = 20
_CHUNK_BYTES = 4 * 1024 * 1024
_LOCK = ".lock"
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object in a listing: its name below the prefix, its bytes, when it was written."""

    name: str
    size: int
    modified: datetime


class Objects(Protocol):
    """Objects below one prefix; names have "/" between their parts. Thread-safe.

    `url` is the prefix as it can be printed. An object appears whole or not at all, and a
    reader sees what was last written. All methods raise IndexStoreError where the storage
    cannot be reached or refuses.
    """

    url: str

    def get(self, name: str) -> tuple[bytes, str] | None:
        """Return the content of an object and its tag for `put_if`; None if there is none."""

    def put_if(self, name: str, content: bytes, tag: str | None) -> str | None:
        """Write an object if it still has this tag, or with None if there is none.

        Return its new tag, or None where another was written in the meantime. No two objects
        of a name may ever have the same content.
        """

    def upload(self, name: str, file: Path) -> None:
        """Write the content of a file as an object."""

    def download(self, name: str, file: Path) -> bool:
        """Write an object to a file; return False where there is none."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects in a folder of names, such as "objects", or all, unordered."""

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects, where they are there."""


def is_url(path: str | Path) -> bool:
    """Return whether an index is named by a URL, and not by a path."""
    return isinstance(path, str) and _URL.match(path) is not None


def parse_place(text: str) -> str | Path:
    """Return where an index is, as a user writes it: a URL as it is, or the path of a folder.

    Raises InputError for the home folder of a user that there is not.
    """
    return text if is_url(text) else expand_home(text)


def open_objects(url: str, storage_options: Mapping[str, Any] | None = None) -> Objects:
    """Return the objects below a URL: s3://BUCKET/PREFIX, gs://…, az://… or file:///FOLDER.

    `storage_options`: settings of the storage by name, such as "aws_access_key_id", "region"
    and "endpoint"; they take precedence over the usual environment variables. Nothing is
    connected yet. Raises InputError for another scheme, a URL without a bucket and an unknown
    setting, MissingExtraError without the package `obstore`.
    """
    match = _URL.match(url)
    scheme = "" if match is None else match[1].lower()
    if scheme not in SCHEMES:
        raise InputError(
            f"an index cannot be at {scheme}://",
            why=f"it can be at {', '.join(f'{name}://' for name in SCHEMES)}, or in a folder",
            fix=nearest(scheme, SCHEMES),
        )
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise InputError(
            "the URL of an index has a bucket and a prefix only",
            where=f"{scheme}://{parts.hostname}{parts.path}",
            fix="Give credentials in storage_options or in environment variables.",
        )
    options = dict(storage_options or {})
    if scheme == "file":
        if parts.netloc or options:
            raise InputError(
                "a file:// URL is of a folder of this machine, and has no storage_options",
                where=url,
                fix="Write file:///FOLDER.",
            )
        return FolderObjects(expand_home(unquote(parts.path)))
    if not parts.netloc:
        raise InputError("the URL names no bucket", where=url, fix=f"Write {scheme}://BUCKET/…")
    return CloudObjects(scheme, parts.netloc, parts.path.strip("/"), options)


class FolderObjects:
    """Objects in a folder, of this machine or a network file system that has locks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.url = self.folder.as_uri()

    def get(self, name: str) -> tuple[bytes, str] | None:
        """Return the content of an object and its tag; None where there is none."""
        try:
            content = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed(error) from error
        return content, hashlib.sha256(content).hexdigest()

    def put_if(self, name: str, content: bytes, tag: str | None) -> str | None:
        """Write an object if it still has this tag; see `Objects`."""
        try:
            self._path(name).parent.mkdir(parents=True, exist_ok=True)
            with exclusive(self.folder / _LOCK):
                found = self.get(name)
                if (None if found is None else found[1]) != tag:
                    return None
                replace_file(self._path(name), content)
        except OSError as error:
            raise self._failed(error) from error
        return hashlib.sha256(content).hexdigest()

    def upload(self, name: str, file: Path) -> None:
        """Write the content of a file as an object."""
        try:
            self._path(name).parent.mkdir(parents=True, exist_ok=True)
            _copy(file, self._path(name))
        except OSError as error:
            raise self._failed(error) from error

    def download(self, name: str, file: Path) -> bool:
        """Write an object to a file; return False where there is none."""
        source = self._path(name)
        try:
            if not source.is_file():
                return False
            _copy(source, file)
        except OSError as error:
            raise self._failed(error) from error
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects in a folder of names, or all, unordered."""
        for parent, _, names in os.walk(self._path(prefix) if prefix else self.folder):
            for name in names:
                path = Path(parent, name)
                if name.startswith("."):
                    continue
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                modified = datetime.fromtimestamp(stat.st_mtime, UTC)
                yield ObjectInfo(
                    path.relative_to(self.folder).as_posix(), stat.st_size, modified
                )

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects, where they are there."""
        try:
            for name in names:
                self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from error

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*name.split("/"))

    def _failed(self, error: OSError) -> IndexStoreError:
        return IndexStoreError(
            "the storage of the index failed",
            where=self.url,
            why=error.strerror or type(error).__name__,
            fix="Give a folder that can be written to.",
            errno=error.errno,
        )


class CloudObjects:
    """Objects in a bucket of S3, Google Cloud Storage or Azure."""

    def __init__(
        self, scheme: str, bucket: str, prefix: str, options: Mapping[str, Any]
    ) -> None:
        self.url = f"{scheme}://{bucket}/{prefix}".rstrip("/")
        self._scheme, self._bucket = scheme, bucket
        self._store = _connect(self.url, options)

    def get(self, name: str) -> tuple[bytes, str] | None:
        """Return the content of an object and its tag; None where there is none."""
        import obstore

        try:
            result = obstore.get(self._store, name)
            return bytes(result.bytes()), _tag(result.meta)
        except _errors() as error:
            if self._is_absent(error):
                return None
            raise self._failed(error) from error

    def put_if(self, name: str, content: bytes, tag: str | None) -> str | None:
        """Write an object if it still has this tag; see `Objects`."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        mode: Any = "create" if tag is None else _parse_tag(tag)
        try:
            return _tag(obstore.put(self._store, name, content, mode=mode))
        except (AlreadyExistsError, PreconditionError):
            # An answer that was lost makes the client ask again, and lose against itself.
            found = self.get(name)
            return found[1] if found is not None and found[0] == content else None
        except _errors() as error:
            raise self._failed(error) from error

    def upload(self, name: str, file: Path) -> None:
        """Write the content of a file as an object, large ones in parts."""
        import obstore

        try:
            obstore.put(self._store, name, file)
        except _errors() as error:
            raise self._failed(error) from error

    def download(self, name: str, file: Path) -> bool:
        """Write an object to a file; return False where there is none."""
        import obstore

        try:
            result = obstore.get(self._store, name)
            with file.open("wb") as stream:
                for chunk in result.stream(min_chunk_size=_CHUNK_BYTES):
                    stream.write(chunk)
        except _errors() as error:
            if self._is_absent(error):
                return False
            raise self._failed(error) from error
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects in a folder of names, or all, unordered."""
        import obstore

        try:
            for chunk in obstore.list(self._store, prefix or None):
                for meta in chunk:
                    yield ObjectInfo(meta["path"], int(meta["size"]), meta["last_modified"])
        except _errors() as error:
            raise self._failed(error) from error

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects, where they are there."""
        import obstore

        try:
            if names:
                obstore.delete(self._store, list(names))
        except _errors() as error:
            if not self._is_absent(error):
                raise self._failed(error) from error

    def _is_absent(self, error: Exception) -> bool:
        """Return whether an object is absent, and not its bucket."""
        return isinstance(error, FileNotFoundError) and not _no_bucket(error)

    def _failed(self, error: Exception) -> IndexStoreError:
        """Return an error without the text of the storage, which may quote a signed URL."""
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        what, code, status = str(error), _CODE.search(str(error)), _STATUS.search(str(error))
        if _no_bucket(error):
            return IndexStoreError(
                f"there is no bucket {self._bucket!r}",
                where=self.url,
                fix="Create it, or correct the URL, the region or the endpoint.",
            )
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or (
            status is not None and status[1] in ("401", "403")
        ):
            said = "" if code is None else f" ({code[1]})"
            return IndexStoreError(
                "the object storage refused the credentials",
                where=self.url,
                why=f"they are wrong, expired, or may not do this{said}",
                fix="Check storage_options or the environment variables of the storage.",
                errno=errno.EPERM,
            )
        if "credential" in what.lower() and status is None:
            return IndexStoreError(
                "there are no credentials for the object storage",
                where=self.url,
                fix="Set the environment variables of the storage, such as AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY, or storage_options.",
            )
        why = "it cannot be reached, or did not answer in time"
        if status is not None:
            why = f"it answered {status[1]}" + ("" if code is None else f" ({code[1]})")
        return IndexStoreError(
            "the object storage failed",
            where=self.url,
            why=why,
            fix="Check the endpoint and the network, and try again.",
            errno=errno.EHOSTUNREACH,
        )


def _connect(url: str, options: Mapping[str, Any]) -> Any:
    try:
        import obstore.store
        from obstore.exceptions import BaseError
    except ImportError as error:
        raise MissingExtraError(
            "an index in object storage", package="obstore", extra="s3"
        ) from error
    config = {k.lower(): v for k, v in options.items() if k.lower() not in _CLIENT_OPTIONS}
    client: dict[str, Any] = {
        k.lower(): v for k, v in options.items() if k.lower() in _CLIENT_OPTIONS
    }
    endpoint = next((str(config[name]) for name in _ENDPOINTS if name in config), None)
    if endpoint is None and url.startswith("s3://"):
        named = (os.environ.get(name) for name in _ENDPOINTS_IN_ENVIRONMENT)
        endpoint = next(filter(None, named), None)
    if endpoint is not None and endpoint.startswith("http://"):
        # Whoever names such an endpoint wants it.
        client.setdefault("allow_http", True)
    retries: Any = {
        "max_retries": _RETRIES,
        "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
    }
    make: Any = obstore.store.from_url
    try:
        return make(url, config=config, client_options=client, retry_config=retries)
    except (BaseError, ValueError, TypeError) as error:
        raise InputError(
            "the object storage cannot be set up",
            where=url,
            why=f"a setting is not known or not valid: {_first_words(error, options)}",
            fix="See the settings of the storage in storage_options.",
        ) from None


def _first_words(error: Exception, options: Mapping[str, Any]) -> str:
    """Return the first line of an error, without the values of settings."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    for value in options.values():
        if str(value):
            text = text.replace(str(value), "…")
    return text


def _errors() -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError

    return (BaseError, OSError, ValueError)


def _no_bucket(error: Exception) -> bool:
    return any(code in str(error) for code in _NO_BUCKET)


def _tag(meta: Mapping[str, Any]) -> str:
    """Return what `put_if` compares: the entity tag, and the version where there is one."""
    return f"{meta.get('version') or ''}|{meta.get('e_tag') or ''}"


def _parse_tag(tag: str) -> dict[str, str]:
    version, _, e_tag = tag.partition("|")
    return {k: v for k, v in (("e_tag", e_tag), ("version", version)) if v}


def _copy(source: Path, target: Path) -> None:
    """Copy a file, which appears whole or not at all."""
    from secondpass.storage import open_replacement

    with source.open("rb") as stream, open_replacement(target) as written:
        while chunk := stream.read(_CHUNK_BYTES):
            written.write(chunk)
