"""What a source of candidates offers to a search, and what is refused or done without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from secondpass.errors import InputError
from secondpass.retrieve.store_protocol import KeepsPassages, Versioned
from secondpass.types import Document, is_missing

if TYPE_CHECKING:
    from secondpass.index.first_stage import FirstStage
    from secondpass.retrieve.protocol import RetrieverInfo
    from secondpass.retrieve.store_protocol import PassageStore

_BY_ID = {
    "like": "the words and the vectors of stored documents",
    "unlike": "the words and the vectors of stored documents",
    "feedback": "keyword search with weights of words",
    "adaptive": "the vectors of stored passages",
}
"""Options that only a store of passages has what they need for."""


def find_passage_store(first_stage: FirstStage) -> PassageStore | None:
    """Return the store of a first stage if passages can be asked for there, else None."""
    store = getattr(first_stage, "store", None)
    return cast("PassageStore", store) if isinstance(store, KeepsPassages) else None


def name_of(first_stage: FirstStage) -> str:
    """Return the name of a source for messages, without its secrets."""
    info = getattr(getattr(first_stage, "store", None), "info", None)
    name = getattr(info, "name", None) or getattr(first_stage, "name", None)
    return str(name or type(first_stage).__name__)


def _known(first_stage: FirstStage) -> RetrieverInfo:
    """Return what a source said of itself when it was first asked, or says now."""
    known: RetrieverInfo | None = getattr(first_stage, "known", None)
    return first_stage.describe() if known is None else known


def fields_of(first_stage: FirstStage) -> Mapping[str, str]:
    """Return the metadata that filters can name; {} where the source does not say."""
    store = getattr(first_stage, "store", None)
    # The description of a store also counts its passages.
    return _known(first_stage).fields if store is None else store.fields


def note_of(first_stage: FirstStage) -> str | None:
    """Return what a source says that it leaves out, or None."""
    store = getattr(first_stage, "store", None)
    if store is None:
        return _known(first_stage).note
    note: str | None = getattr(getattr(store, "info", None), "note", None)
    return note


def check_offers(
    first_stage: FirstStage, passages: PassageStore | None, chosen: Mapping[str, Any]
) -> None:
    """Raise `InputError` for options that a search of this source cannot have."""
    if chosen["version"] is not None and not isinstance(passages, Versioned):
        raise InputError(
            f"there is no version {chosen['version']}",
            where=name_of(first_stage),
            why="this source keeps no earlier states",
            fix="Leave version out.",
        )
    if passages is not None:
        return
    for name, needed in _BY_ID.items():
        if chosen[name]:
            raise InputError(
                f"{name} cannot be used here",
                where=name_of(first_stage),
                why=f"it needs {needed}, which only an index of secondpass gives",
                fix="Leave it out, or store the documents in an index: secondpass index.",
            )
    modes = first_stage.modes
    if chosen["mode"] not in (modes or ("hybrid",)):
        raise InputError(
            f"mode {chosen['mode']!r} cannot be used here",
            where=name_of(first_stage),
            why=_why_not(first_stage),
            fix="Leave mode out.",
        )


def _why_not(first_stage: FirstStage) -> str:
    if not first_stage.modes:
        return "this source has one ranking of its own"
    note = note_of(first_stage)
    return (
        f"this source is searched in mode {', '.join(first_stage.modes)}"
        if note is None
        else note
    )


def unused_options(first_stage: FirstStage, chosen: Mapping[str, Any]) -> str | None:
    """Return which fusion options had no effect, as only one ranking was searched."""
    if "hybrid" in first_stage.modes:
        return None
    given = [
        name
        for name, default in (("fusion", "rrf"), ("weights", None))
        if chosen[name] != default
    ]
    if not given:
        return None
    return f"{' and '.join(given)} not used: this source has one ranking"


def roles_of(first_stage: FirstStage) -> dict[str, str]:
    """Return which attribute of a document has the value of a field that is no metadata."""
    roles = {"id": "id", "title": "title"}
    columns = getattr(getattr(first_stage, "store", None), "columns", None)
    for role, attribute in (("id", "id"), ("title", "title"), ("parent", "document_id")):
        name = getattr(columns, role, None)
        if isinstance(name, str):
            roles[name] = attribute
    return roles


def match_metadata(
    condition: str,
    documents: Sequence[Document],
    *,
    fields: Mapping[str, str],
    roles: Mapping[str, str] = MappingProxyType({}),
) -> list[bool]:
    """Return which documents pass a filter by their metadata, as a database would say.

    `fields` are those of the source; if it names none, those that these documents have. `roles`
    are those of `roles_of`. Raises `FilterError`.
    """
    from secondpass.retrieve.filter_tree import filter_holds, parse_filter

    kinds = dict(fields) or _kinds(documents)
    if not kinds and not documents:
        return []
    tree = parse_filter(condition, kinds)
    if tree is None:
        return [True] * len(documents)
    rows = (
        {name: _comparable(_value(d, name, roles), kind) for name, kind in kinds.items()}
        for d in documents
    )
    return [filter_holds(tree, row) is True for row in rows]


def _kinds(documents: Sequence[Document]) -> dict[str, str]:
    """Return the kinds of the metadata of some documents, by what their first value is."""
    kinds: dict[str, str] = {}
    for document in documents:
        for name, value in document.metadata.items():
            kind = _kind(value)
            if kind is not None:
                kinds.setdefault(name, kind)
    return kinds


def _kind(value: object) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return None if is_missing(value) else "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, datetime):
        return "datetime"
    return "date" if isinstance(value, date) else None


def _value(document: Document, name: str, roles: Mapping[str, str]) -> Any:
    if name in document.metadata or name not in roles:
        return document.metadata.get(name)
    return getattr(document, roles[name])


def _comparable(value: Any, kind: str) -> Any:
    """Return a value as its kind is compared; None for one of another kind."""
    if is_missing(value):
        return None
    if kind in ("date", "datetime") and isinstance(value, str):
        parse = datetime.fromisoformat if kind == "datetime" else date.fromisoformat
        with suppress(ValueError):
            return parse(value)
        return None
    if kind in ("integer", "number") and isinstance(value, str):
        # An id is text in a document, whatever it is in the table.
        with suppress(ValueError):
            return int(value)
        return None
    if kind == "boolean" and isinstance(value, int):
        return bool(value)
    expected = {"text": str, "integer": int | float, "number": int | float, "boolean": bool}
    fits = isinstance(value, expected.get(kind, date))
    return value if fits else None
