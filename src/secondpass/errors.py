"""Every error that secondpass raises on purpose.

SecondpassError
├── InputError              the caller's data (also a ValueError)
│   └── FilterError         a metadata filter that cannot be understood
├── ModelError              a model that cannot be found, read, verified or run
│   ├── ModelNotFoundError  no model of that name (also a LookupError)
│   ├── ModelDamagedError   a file whose checksum is not the recorded one
│   └── ProviderError       a server that refused, failed or gave no usable answer
│       ├── ProviderTimeoutError  it took too long (also a TimeoutError)
│       └── LLMError        a language model that did not answer
├── IndexStoreError         an index that cannot be opened or written
│   └── IndexNotFoundError  nothing is stored there (also a LookupError)
├── ReadError               a file that cannot be read as documents
└── MissingExtraError       an optional package is not installed (also an ImportError)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SecondpassError(Exception):
    """An error that says what failed, where, why, and what to do next.

    The parts are kept as attributes, so that a program can show them one by one;
    `str(error)` joins them into one line.
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
    """The caller's data cannot be used as it is."""


class FilterError(InputError):
    """A metadata filter cannot be understood or names an unknown field."""


class ModelError(SecondpassError):
    """A model cannot be read or run."""


class ModelNotFoundError(ModelError, LookupError):
    """No model of that name is known or present."""


class ModelDamagedError(ModelError):
    """A model file is incomplete or differs from its recorded checksum."""


class ProviderError(ModelError):
    """A server could not be asked, refused, failed, or gave an answer that is not sound.

    - `status`: the HTTP status, or None where no answer came.
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
    """A server, or a stage of a chain, gave no answer in the time that it had."""

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
    """A language model did not answer, or not with what was asked for."""


class IndexStoreError(SecondpassError):
    """An index cannot be opened, read or written."""


class IndexNotFoundError(IndexStoreError, LookupError):
    """There is no index at that place."""


class ReadError(SecondpassError):
    """A file cannot be read as documents."""


class MissingExtraError(SecondpassError, ImportError):
    """A feature needs a package that the base install does not bring."""

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
