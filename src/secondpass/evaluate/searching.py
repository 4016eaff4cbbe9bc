"""All queries of a collection through an index, as a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Unpack

from secondpass.evaluate.first_stage import judged_id
from secondpass.evaluate.run import Run, apart
from secondpass.types import Document

if TYPE_CHECKING:
    from secondpass.index.index import Index, SearchOptions


def search_all(
    index: Index,
    queries: Mapping[str, str],
    *,
    name: str = "search",
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[SearchOptions],
) -> Run:
    """Return what `Index.search` finds for every query with these options.

    All candidates are kept unless `top_k` is given. A document stands once, where its best
    passage is; scores that tie are moved apart so that the order of the search stays.
    `progress` is called with (done, total).
    """
    scores: dict[str, dict[str, float]] = {}
    wanted: SearchOptions = {"top_k": None, **options}
    for done, (query, text) in enumerate(queries.items(), 1):
        response = index.search(text, **wanted)
        found: dict[str, float] = {}
        for result in response.results:
            document = (
                Document("", id=result.id) if result.document is None else result.document
            )
            found.setdefault(judged_id(document), result.score)
        moved = apart(list(found.values()))
        scores[query] = dict(zip(found, moved, strict=True))
        if progress is not None:
            progress(done, len(queries))
    return Run(name, scores)
