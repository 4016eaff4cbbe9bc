"""Vectors of a table of others: read as they are stored, and whether an embedder fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from secondpass.retrieve.store_protocol import TextEncoder, searchable
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding

PROBED_ROWS = 10
"""How many rows are embedded again."""
SAME = 0.95
"""The least cosine of a stored vector and of the row's text embedded again."""

Probe = Callable[[], Sequence[tuple[Document, "Embedding"]]]


def fit_embedder(
    embedder: TextEncoder | None, column: str | None, dimension: int | None, probe: Probe
) -> tuple[TextEncoder | None, str | None]:
    """Return the embedder that fits the vectors of a column, or None and why not.

    `embedder` None is the bundled one. `dimension` is that of the column, None where it has
    none of its own; `probe` returns up to PROBED_ROWS rows with their vectors. Most must
    have the vector that the embedder makes of their text, with or without the title. An empty
    table fits.
    """
    if column is None:
        return None, None
    if embedder is None:
        from secondpass.retrieve.embedder import Embedder

        embedder = cast("TextEncoder", Embedder())
    rows = probe() if dimension in (None, embedder.dimension) else ()
    lengths = {len(vector) for _, vector in rows}
    if dimension is not None:
        lengths.add(dimension)
    others = sorted(lengths - {embedder.dimension})
    if others:
        return None, (
            f"the vectors in {column!r} have {others[0]} dimensions, and the embedder "
            f"{embedder.name!r} makes {embedder.dimension}; pass embedder= the one that made "
            "them; until then only keyword search is used"
        )
    cosine = _typical_cosine(embedder, [r for r in rows if r[0].text.strip()])
    if cosine is not None and cosine < SAME:
        return None, (
            f"the vectors in {column!r} are not those of the embedder {embedder.name!r} (of "
            f"{len(rows)} rows embedded again, the middle cosine is {cosine:.2f}); pass "
            "embedder= the one that made them; until then only keyword search is used"
        )
    return embedder, None


def _typical_cosine(
    embedder: TextEncoder, rows: Sequence[tuple[Document, Embedding]]
) -> float | None:
    import numpy as np

    if not rows:
        return None
    stored = np.stack([np.asarray(vector, np.float64) for _, vector in rows])
    stored /= np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-12)
    best = np.full(len(rows), -1.0)
    for texts in (
        [searchable(document.title, document.text) for document, _ in rows],
        [document.text for document, _ in rows],
    ):
        made = embedder.encode(texts).astype(np.float64)
        best = np.maximum(best, np.einsum("ij,ij->i", stored, made))
    return float(np.median(best))


def cosines(embedding: Embedding, vectors: Sequence[Embedding]) -> list[float]:
    """Return the cosine of a vector with each of others of its length; 0 with a zero one."""
    import numpy as np

    if not len(vectors):
        return []
    matrix = np.stack(vectors).astype(np.float64)
    lengths = np.linalg.norm(matrix, axis=1) * float(np.linalg.norm(embedding))
    products = matrix @ embedding.astype(np.float64)
    result = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    values: list[float] = np.clip(np.nan_to_num(result), -1, 1).tolist()
    return values


def to_vector(value: Any) -> Embedding | None:
    """Return a stored vector, float32: bytes of float32, a JSON list, or a list; else None."""
    import json

    import numpy as np

    if isinstance(value, bytes | memoryview):
        data = bytes(value)
        return np.frombuffer(data, "<f4") if data and len(data) % 4 == 0 else None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    try:
        vector = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        return None
    return vector if vector.ndim == 1 and vector.size and np.isfinite(vector).all() else None
