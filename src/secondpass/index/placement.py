"""Placement of results: pinned documents, and what grouping found and did not find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from secondpass.errors import InputError
from secondpass.rerank.inputs import check_count, check_ids
from secondpass.types import Candidate, RankedDocument, ScoreKind

if TYPE_CHECKING:
    from secondpass.retrieve.groups import Placement
    from secondpass.retrieve.retriever import Retrieved
    from secondpass.retrieve.store_protocol import PassageStore, TextEncoder


def check_placement(chosen: dict[str, Any]) -> None:
    """Check the options of placement, and convert ids to text; raises `InputError`."""
    for name in ("pin", "hide"):
        chosen[name] = check_ids(name, chosen[name])
    both = [name for name in chosen["pin"] if name in chosen["hide"]]
    if both:
        raise InputError(f"The id {both[0]!r} is in both pin and hide")
    group_by, size = chosen["group_by"], check_count("group_size", chosen["group_size"])
    if size is None:
        raise InputError("group_size must be a whole number, not None")
    if group_by is None and size != 1:
        raise InputError(
            "group_size is for group_by",
            why="there are no groups without it",
            fix='Say what a group is, as in group_by="document".',
        )
    if group_by is not None and (not isinstance(group_by, str) or not group_by):
        raise InputError(f"group_by must be the name of a field, not {group_by!r:.80}")


def make_placement(chosen: Mapping[str, Any]) -> Placement:
    """Return what the checked options keep of the first stage's passages."""
    from secondpass.retrieve.groups import Placement

    return Placement(
        chosen["group_by"],
        chosen["group_size"],
        frozenset(chosen["hide"]),
        frozenset(chosen["pin"]),
    )


def describe_groups(retrieval: Retrieved, chosen: Mapping[str, Any], found: int) -> str | None:
    """Return what `reason` says of groups: too few of them, and passages without a value."""
    field = chosen["group_by"]
    if field is None:
        return None
    notes = []
    wanted = chosen["candidates"] if chosen["top_k"] is None else chosen["top_k"]
    if retrieval.exhausted and found < wanted:
        notes.append(
            f"the first stage is exhausted: the {retrieval.depth} passages found are of "
            f"{retrieval.groups} groups by {field!r}, which gives {found} results, not {wanted}"
        )
    if retrieval.without:
        verb = "has" if retrieval.without == 1 else "have"
        notes.append(
            f"{retrieval.without} of {retrieval.depth} passages {verb} no {field!r}: each is a "
            "group of its own"
        )
    return "; ".join(notes) or None


def score_passages(
    store: PassageStore, embedder: TextEncoder, query: str, document_id: str
) -> list[Candidate]:
    """Return the passages of a document, or the passage of this id, with BM25 and cosine."""
    from secondpass.retrieve.hybrid import cosine_similarity

    hits = store.passages_of(document_id)
    if not hits:
        return []
    found = store.bm25(query, len(hits), passages=[hit.document for hit in hits])
    bm25 = {hit.key: hit.score for hit in found}
    vector = embedder.encode([query])[0]
    return [
        Candidate(
            hit.document,
            bm25=bm25.get(hit.key, 0.0),
            vector=None if hit.embedding is None else cosine_similarity(vector, hit.embedding),
        )
        for hit in hits
    ]


def add_pinned(
    store: PassageStore | None,
    embedder: TextEncoder | None,
    query: str,
    candidates: Sequence[Candidate],
    chosen: Mapping[str, Any],
) -> tuple[list[Candidate], str | None]:
    """Return the candidates with those pinned documents that are not among them.

    Of a longer document, the passage with the highest cosine is added. What the filter or
    `hide` excludes is not, and neither is what the index does not have: the second value says
    so. Others of the same group make room. Without a `store` that can be asked for documents by
    id, none is added.
    """
    from secondpass.retrieve.groups import place

    placement = make_placement(chosen)
    added: list[Candidate] = []
    notes: list[str] = []
    for name in chosen["pin"]:
        if any(name in (c.document.id, c.document.document_id) for c in candidates):
            continue
        if store is None or embedder is None:
            notes.append(
                f"the pinned {name!r} is not among the candidates, "
                "and nothing is asked for by id here"
            )
            continue
        passages = score_passages(store, embedder, query, name)
        if not passages:
            notes.append(f"the pinned {name!r} is not in the index")
            continue
        if chosen["filter"] is not None:
            passed = store.matching([c.document for c in passages], chosen["filter"])
            passages = [c for c, passes in zip(passages, passed, strict=True) if passes]
        passages = [c for c in passages if not placement.hides(c.document)]
        if not passages:
            notes.append(f"the pinned {name!r} is excluded by the filter or by hide")
            continue
        best = max(passages, key=lambda c: (c.vector or 0.0, c.bm25 or 0.0))
        added.append(replace(best, rank=len(candidates) + len(added) + 1))
    every = [*candidates, *added]
    kept = place([c.document for c in every], placement).positions
    return [every[i] for i in kept], "; ".join(notes) or None


def pin_results(results: Sequence[RankedDocument], pins: Sequence[str]) -> list[RankedDocument]:
    """Return results without a second pass in their order, but pinned ones first.

    Scores of pinned ones are above all others; `parts` has what they gained.
    """
    order: list[int] = []
    for name in pins:
        same = [i for i, r in enumerate(results) if r.id == name]
        same = same or [i for i, r in enumerate(results) if r.document_id == name][:1]
        order += [i for i in same if i not in order]
    high = max((r.score for r in results), default=0.0)
    step = max(1.0, abs(high)) * 1e-6
    pinned = []
    for place, i in enumerate(order):
        score, old = high + (len(order) - place) * step, results[i].score
        parts = {"first_stage": old, "pinned": score - old}
        pinned.append(replace(results[i], score=score, score_kind=ScoreKind.RANK, parts=parts))
    rest = [r for i, r in enumerate(results) if i not in order]
    return [replace(r, rank=rank) for rank, r in enumerate([*pinned, *rest], 1)]
