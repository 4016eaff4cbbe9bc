"""Sandbox worker: the child process that reads files for `Sandbox`.

It reads requests and writes replies, a line of JSON each. A file can make a parser loop forever
or exhaust the memory; then only this process ends, and the sandbox starts another.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, MissingExtraError, SecondpassError
from secondpass.retrieve.loaders.base import Batch, read_error
from secondpass.retrieve.loaders.files import LOADERS, SourceFile, load_batches
from secondpass.retrieve.loaders.sandbox import GRACE_SECONDS
from secondpass.retrieve.metadata import encode
from secondpass.types import Document


class Reader:
    """The file that is being read, and the memory that reading may take."""

    def __init__(self) -> None:
        self._base = _used_bytes()
        self._limit = 0
        self._seconds = 0
        self._path = Path()
        self._batches: Iterator[Batch] = iter(())

    def prepare(self, suffix: str) -> dict[str, Any]:
        """Import what a format needs, without a limit of memory."""
        _limit_memory(None)
        loader = LOADERS.get(suffix)
        if loader is not None and loader.prepare is not None:
            loader.prepare()
        # Relative, because packages reserve more address space on machines with more cores.
        self._base = _used_bytes()
        return {}

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Begin a file and return its first documents."""
        self._path = Path(request["path"])
        self._limit = request["megabytes"] * 2**20
        self._seconds = request["seconds"] + GRACE_SECONDS
        _limit_memory(self._base + self._limit)
        self._batches = load_batches(
            SourceFile(self._path, self._path.parent),
            request["fields"],
            request["kinds"],
            characters=request["characters"],
            name=request["name"],
            strict=request["strict"],
        )
        return self.next()

    def next(self) -> dict[str, Any]:
        """Return the next documents, or the error."""
        _set_alarm(self._seconds)
        try:
            return self._reply()
        except MissingExtraError as error:
            feature = error.what.partition(" needs the package")[0]
            return {"missing": [feature, error.package, error.extra]}
        except MemoryError:
            return {"memory": True, "retire": True}
        except SecondpassError as error:
            return {"error": _encode_error(error)}
        except Exception as error:  # noqa: BLE001 - a parser can raise anything
            return {"error": _encode_error(read_error(self._path, error))}
        finally:
            _set_alarm(0)

    def _reply(self) -> dict[str, Any]:
        batch = next(self._batches)
        return {
            "documents": [_encode(document) for document in batch.documents],
            "left_out": dict(batch.left_out),
            "cut": batch.cut,
            "skipped": [_encode_error(error) for error in batch.skipped],
            "last": batch.last,
            # What a file leaves behind would count against the next.
            "retire": batch.last and _used_bytes() > self._base + self._limit // 2,
        }


def main() -> None:
    """Answer requests until the input ends."""
    warnings.simplefilter("ignore")
    output = os.fdopen(os.dup(1), "w", encoding="ascii")
    # Parsers that print must not write between the replies.
    os.dup2(2, 1)
    reader = Reader()
    for line in sys.stdin:
        request = json.loads(line)
        if request is None:
            reply = reader.next()
        elif "prepare" in request:
            reply = reader.prepare(request["prepare"])
        else:
            reply = reader.open(request)
        output.write(json.dumps(reply) + "\n")
        output.flush()


def _encode_error(error: SecondpassError) -> list[str | None]:
    return [error.what, error.where, error.why, error.fix]


def _encode(document: Document) -> list[Any]:
    """Return a document as JSON values; those that no index stores by the names of types."""
    unstorable: dict[str, str] = {}
    metadata = document.metadata
    try:
        encoded = encode(metadata)
    except InputError:
        storable = {}
        for key, value in metadata.items():
            try:
                encode({key: value})
            except InputError:
                unstorable[str(key)] = type(value).__name__
            else:
                storable[key] = value
        encoded = encode(storable)
    return [document.text, document.id, document.title, encoded, unstorable]


def _used_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return 0
    import resource

    return int(statm.read_text().split()[0]) * resource.getpagesize()


def _limit_memory(total: int | None) -> None:
    """Limit the address space of this process, None for no limit; on Linux only."""
    if sys.platform != "linux":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = hard if total is None else total
    soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _set_alarm(seconds: int) -> None:
    """Let the system end this process after a time, in case its parent is gone; 0 for never."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


if __name__ == "__main__":
    main()
