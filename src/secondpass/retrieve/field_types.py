"""Types of metadata fields, decided for all files of an ingest before the first is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from secondpass.errors import InputError, MissingExtraError, ReadError
from secondpass.retrieve.backends.lance.schema import kind_of
from secondpass.retrieve.loaders import SourceFile, has_cells, is_one_document, read_file
from secondpass.retrieve.loaders.delimited import cast_cell
from secondpass.retrieve.metadata import encode
from secondpass.types import Document


class FieldTypes:
    """The type of each metadata field, and whether a document has values of these types.

    A field that is stored keeps its type. A new one gets the type of most values, the first of
    two that are equally frequent. Only if all its files are CSV or TSV, and their cells are
    not of one type, all of it is text: every cell can be stored as that.
    """

    def __init__(self, stored: Mapping[str, str]) -> None:
        self._kinds = {name.lower(): str(kind) for name, kind in stored.items()}
        self._stored = frozenset(self._kinds)
        self._counts: dict[str, Counter[str]] = {}
        self._typed: set[str] = set()

    @classmethod
    def of_files(
        cls,
        files: Iterable[SourceFile],
        stored: Mapping[str, str],
        fields: Sequence[str] | None,
        *,
        strict: bool,
    ) -> FieldTypes:
        """Return the types decided for the rows of these files; see `read_file`."""
        types = cls(stored)
        for file in files:
            if is_one_document(file.path):
                continue
            # Reading reports what is wrong with a file.
            with suppress(ReadError, MissingExtraError):
                for document in read_file(file, fields, strict=strict):
                    types.learn(document, cells=has_cells(file.path))
        types.decide()
        return types

    def learn(self, document: Document, *, cells: bool) -> None:
        """Count the types of a document; `cells`: whether it is a row of CSV or TSV."""
        for key, value in document.metadata.items():
            cell = cells and isinstance(value, str)
            kind = _kind(key, cast_cell(value) if cell else value)
            if kind is not None:
                name = key.lower()
                self._counts.setdefault(name, Counter())[kind] += 1
                if not cells:
                    self._typed.add(name)

    def decide(self) -> None:
        """Decide the types from what was counted."""
        for name, counts in self._counts.items():
            if name in self._stored:
                continue
            if counts["number"] and counts["integer"]:
                counts["number"] += counts.pop("integer")
            all_text = len(counts) > 1 and name not in self._typed
            self._kinds[name] = "text" if all_text else counts.most_common(1)[0][0]
        self._counts.clear()

    @property
    def kinds(self) -> Mapping[str, str]:
        """The type of each field; names are in lower case."""
        return self._kinds

    def misfit(self, document: Document) -> str | None:
        """Return why the metadata of a document cannot be stored, or None if it can."""
        try:
            encode(document.metadata)
        except InputError as error:
            return ": ".join(filter(None, (error.what, error.why)))
        names: set[str] = set()
        for key, value in document.metadata.items():
            kind = _kind(key, value)
            if kind is None:
                continue
            name = key.lower()
            if name in names:
                return f"metadata has {key!r} twice, in upper and lower case"
            names.add(name)
            expected = self._kinds.setdefault(name, kind)
            if {expected, kind} == {"integer", "number"}:
                self._kinds[name] = "number"
            elif expected != kind:
                return f"field {key!r} is {str(value)[:80]!r} ({kind}), and must be {expected}"
        return None


def _kind(key: object, value: object) -> str | None:
    return kind_of(value) if isinstance(key, str) and key else None
