"""The errors of secondpass.

SecondpassError
├── InputError              an argument or file of the caller is not valid (also a ValueError)
│   ├── FilterError         a metadata filter is not valid
│   └── TextTooLongError    a text is too long to be read whole, and `truncate` is False
├── ModelError              a model cannot be found, read, verified or run
│   ├── ModelNotFoundError  there is no model of that name (also a LookupError)
│   ├── ModelDamagedError   a model file is incomplete or its checksum differs
│   └── ProviderError       a server refused, failed or gave no usable response
│       ├── ProviderTimeoutError  it took too long (also a TimeoutError)
│       └── LLMError        a language model gave no usable answer
├── IndexStoreError         an index cannot be opened, read or written
│   └── IndexNotFoundError  there is no index at that path (also a LookupError)
├── RetrieverError          a database of others cannot be reached or searched
├── ReadError               a file cannot be read as documents
└── MissingExtraError       an optional package is not installed (also an ImportError)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SecondpassError(Exception):
    """The base class of all errors: what failed, where, why, and how to fix it.

    `what`, `where`, `why` and `fix` are attributes; `str(error)` joins them into one line.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix
        super().__init__(self._message())

    def _message(self) -> str:
        head = self.what if self.where is None else f"{self.what} ({self.where})"
        if self.why is not None:
            head = f"{head}: {self.why}"
        return head if self.fix is None else f"{head.rstrip('.')}. {self.fix}"


class InputError(SecondpassError, ValueError):
    """An argument, a document or a file of the caller is not valid."""


class TextTooLongError(InputError):
    """A query or a document is too long to be read whole, and `truncate` is False."""


class FilterError(InputError):
    """A metadata filter is not valid, or names an unknown field."""


class ModelError(SecondpassError):
    """A model cannot be found, read, verified or run."""


class ModelNotFoundError(ModelError, LookupError):
    """There is no model of that name."""


class ModelDamagedError(ModelError):
    """A model file is incomplete or differs from its recorded checksum."""


class ProviderError(ModelError):
    """A server could not be reached, refused, failed, or gave no usable response.

    - `status`: the HTTP status, None without a response.
    - `retryable`: whether the same request may succeed later.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
        status: int | None = None,
        retryable: bool = False,
    ) -> None:
        self.status = status
        self.retryable = retryable
        super().__init__(what, where=where, why=why, fix=fix)


class ProviderTimeoutError(ProviderError, TimeoutError):
    """A server, or a reranker of a chain, did not respond within its timeout."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what, where=where, why=why, fix=fix, retryable=True)


class LLMError(ProviderError):
    """A language model gave no answer, or not in the requested form."""


class IndexStoreError(SecondpassError):
    """An index cannot be opened, read or written.

    - `errno`: the system's number of the cause where it is one of the place, such as
      `errno.ENOSPC` (disk full) or `errno.EROFS` (read-only); else None.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
        errno: int | None = None,
    ) -> None:
        self.errno = errno
        super().__init__(what, where=where, why=why, fix=fix)


class IndexNotFoundError(IndexStoreError, LookupError):
    """There is no index at that path."""


class RetrieverError(SecondpassError):
    """A database of others cannot be reached or searched; `where` is its URL without secrets.

    - `timeout`: whether it took longer than the time-outs of the URL allow.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
        timeout: bool = False,
    ) -> None:
        self.timeout = timeout
        super().__init__(what, where=where, why=why, fix=fix)


class ReadError(SecondpassError):
    """A file cannot be read as documents."""


class MissingExtraError(SecondpassError, ImportError):
    """A feature needs a package of an extra that is not installed."""

    def __init__(self, feature: str, *, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{feature} needs the package '{package}', which is not installed",
            fix=f"Install it with: pip install 'secondpass[{extra}]'",
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "Did you mean …?" with up to three of `known`, nearest to `name` first.

    Where nothing is near, all of `known` are listed.
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "Known names: " + ", ".join(names) if names else ""
