"""A file in a multipart body, read within limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from secondpass.errors import MissingExtraError
from secondpass.inference.unicode import clean
from secondpass.server.cloudflare.given_metadata import read_metadata
from secondpass.server.http_errors import Problem, invalid

MOST_BYTES = 4 * 1024 * 1024
"""How long a file may be."""
LONGEST_KEY = 128
_AROUND = 64 * 1024
_FIELDS = 20


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent: its key, its bytes, and what came with it."""

    key: str
    data: bytes
    content_type: str
    metadata: dict[str, Any]
    wait: bool


async def read_upload(request: Request, most: int) -> Upload:
    """Return the file in a request of at most `most` bytes.

    Raises Problem: 413 for what is too long, 400 for what is no such body, MissingExtraError
    without the package that reads them.
    """
    try:
        from python_multipart.exceptions import FormParserError
    except ImportError as error:
        raise MissingExtraError(
            "An upload", package="python-multipart", extra="server"
        ) from error
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise invalid("an upload must be multipart/form-data, with the parts file and metadata")
    parser = MultiPartParser(
        request.headers,
        _bounded(request, min(most, MOST_BYTES + _AROUND)),
        max_files=1,
        max_fields=_FIELDS,
        max_part_size=_AROUND,
    )
    try:
        return await _read(await parser.parse())
    except MultiPartException as error:
        raise invalid(f"the body cannot be read: {error.message}") from None
    except (LookupError, UnicodeError, FormParserError):
        raise invalid("the body cannot be read: it is no multipart/form-data") from None
    finally:
        # The parser closes them only after errors of its own.
        for file in getattr(parser, "_files_to_close_on_error", ()):
            file.close()


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    got = 0
    async for some in request.stream():
        got += len(some)
        if got > most:
            raise _too_long()
        yield some


async def _read(form: FormData) -> Upload:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise invalid("the part file is missing, or has no filename")
    data = await file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise _too_long()
    return Upload(
        check_key(file.filename or ""),
        data,
        (file.content_type or "application/octet-stream")[:200],
        read_metadata(_text(form, "metadata") or "{}"),
        _flag(_text(form, "wait_for_completion")),
    )


def check_key(key: str) -> str:
    """Return the key of a file; raises Problem (400) for one that cannot be."""
    key = clean(key)
    if not key.strip() or len(key) > LONGEST_KEY or not key.isprintable():
        raise invalid(f"the filename must have 1 to {LONGEST_KEY} characters that can be seen")
    return key


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise invalid(f"the part {name} must be a text")
    return value


def _flag(text: str | None) -> bool:
    word = (text or "false").strip().lower()
    if word not in ("true", "false"):
        raise invalid(f"wait_for_completion must be true or false, not {word[:50]!r}")
    return word == "true"


def _too_long() -> Problem:
    return Problem(413, "too large", f"a file may have {MOST_BYTES:,} bytes at most")
