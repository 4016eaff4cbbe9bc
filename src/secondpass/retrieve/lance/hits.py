"""Rows that were found, as hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from secondpass.retrieve.lance import rows as r
from secondpass.retrieve.store_protocol import Hit

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


def best_hits(table: Any, scores: Sequence[float], limit: int) -> list[Hit]:
    """Return the best rows of an Arrow table: by falling score, then by id."""
    ids = table.column(r.ID).to_pylist()
    order = sorted(range(len(ids)), key=lambda i: (-scores[i], ids[i]))[:limit]
    return _hits(table, scores, order)


def hits_in_order(table: Any) -> list[Hit]:
    """Return all rows of an Arrow table as they stand, with a score of 0."""
    return _hits(table, [0.0] * table.num_rows, range(table.num_rows))


def _hits(table: Any, scores: Sequence[float], order: Sequence[int]) -> list[Hit]:
    if not order:
        return []
    kept = table.select([n for n in table.column_names if n in (*r.READ, r.VECTOR)])
    kept = kept.take(list(order))
    vectors: list[Embedding | None] = [None] * len(order)
    if r.VECTOR in kept.column_names:
        vectors = _vectors(kept.column(r.VECTOR).combine_chunks())
    rows = kept.select(r.READ).to_pylist()
    return [
        Hit(row[r.ID], scores[i], r.to_document(row), vector)
        for i, row, vector in zip(order, rows, vectors, strict=True)
    ]


def _vectors(column: Any) -> list[Embedding | None]:
    import numpy as np

    there = column.is_valid().to_pylist()
    # Flattening leaves out rows that have none.
    stacked = column.flatten().to_numpy(zero_copy_only=False)
    given = iter(stacked.reshape(-1, column.type.list_size).astype(np.float32))
    return [next(given) if valid else None for valid in there]
