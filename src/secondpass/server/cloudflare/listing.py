"""Which files a list shows, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.server.cloudflare.conditions import Condition, holds
from secondpass.server.cloudflare.database import Database
from secondpass.server.cloudflare.fields import Field
from secondpass.server.cloudflare.item import STATUSES, Item

_BY_STATUS = " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(STATUSES))
_ORDERS = {
    "status": f"CASE status {_BY_STATUS} END, seen_at DESC, id",
    "modified_at": "modified_at DESC, id",
}
SORTS = tuple(_ORDERS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list shall hold; None and no conditions let everything through."""

    status: str | None = None
    key: str | None = None
    item: str | None = None
    part_of_key: str | None = None
    conditions: Sequence[Condition] = ()
    sort: str = "status"


def list_items(
    database: Database, wanted: Wanted, fields: dict[str, Field], *, start: int, count: int
) -> tuple[list[Item], int]:
    """Return the items from place `start` on, and how many there are in all."""
    where, values = ["next_action IS NOT 'DELETE'"], list[Any]()
    for column, value in (
        ("status", wanted.status),
        ("key", wanted.key),
        ("id", wanted.item),
    ):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if wanted.part_of_key is not None:
        where.append("INSTR(LOWER(key), LOWER(?)) > 0")
        values.append(wanted.part_of_key)
    chosen = f"FROM items WHERE {' AND '.join(where)}"
    ordered = f"SELECT * {chosen} ORDER BY {_ORDERS[wanted.sort]}"
    if wanted.conditions:
        items = [Item.of(row) for row in database.rows(ordered, *values)]
        passed = [i for i in items if holds(wanted.conditions, i.columns(fields))]
        return passed[start : start + count], len(passed)
    total = database.one(f"SELECT COUNT(*) AS n {chosen}", *values)
    assert total is not None
    rows = database.rows(f"{ordered} LIMIT ? OFFSET ?", *values, count, start)
    return [Item.of(row) for row in rows], total["n"]
