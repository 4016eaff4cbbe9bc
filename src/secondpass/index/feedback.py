"""Feedback: documents that results should be like or not, and a second search of one query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from secondpass.errors import InputError
from secondpass.index.rounds import Rounds
from secondpass.retrieve.expansion import Expansion, choose_direction, expand_words
from secondpass.retrieve.store_protocol import Hit, searchable
from secondpass.types import Candidate, Document, to_id

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import PassageStore


@dataclass(frozen=True, slots=True)
class Examples:
    """Passages that are relevant, and passages that are not, as the store has them."""

    like: Sequence[Hit] = ()
    unlike: Sequence[Hit] = ()
    excluded: frozenset[str] = field(init=False)
    """The keys of the passages that are left out of the results."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "excluded", frozenset(hit.key for hit in self.unlike))


def find_examples(store: PassageStore, like: Sequence[str], unlike: Sequence[str]) -> Examples:
    """Return the passages of the documents with these ids, or the passages with these ids.

    Raises `InputError` for an id that is not stored, or is in both lists.
    """
    wanted = {name: _check_ids(name, ids) for name, ids in (("like", like), ("unlike", unlike))}
    both = [name for name in wanted["like"] if name in wanted["unlike"]]
    if both:
        raise InputError(f"The document {both[0]!r} is in like and in unlike")
    found: dict[str, list[Hit]] = {"like": [], "unlike": []}
    for name, ids in wanted.items():
        for document_id in ids:
            hits = store.passages_of(document_id)
            if not hits:
                raise InputError(
                    f"{name} has the id {document_id!r}, which is not in the index",
                    where=str(store.folder),
                    fix="Give ids of stored documents, as results have them.",
                )
            found[name] += hits
    return Examples(found["like"], found["unlike"])


def _check_ids(name: str, ids: object) -> list[str]:
    if isinstance(ids, str) or not isinstance(ids, Sequence):
        raise InputError(
            f"{name} must be a list of ids",
            why=f"it is {ids!r:.80}",
            fix=f'{name}=["ID", "ID"]',
        )
    names = [to_id(value) for value in ids]
    for value, found in zip(ids, names, strict=True):
        if not isinstance(found, str) or not found:
            raise InputError(f"{name} has {value!r:.80}, which is no id")
    return list(dict.fromkeys(str(found) for found in names))


def expand(query: str, examples: Examples) -> Expansion | None:
    """Return what examples add to a query; None without examples."""
    if not examples.like and not examples.unlike:
        return None
    texts = [searchable(h.document.title, h.document.text) for h in examples.like]
    return Expansion(
        expand_words(query, texts),
        choose_direction(
            [h.embedding for h in examples.like if h.embedding is not None],
            [h.embedding for h in examples.unlike if h.embedding is not None],
        ),
    )


def read_with_feedback(
    pool: Sequence[Candidate],
    rounds: Rounds,
    count: int,
    search_again: Callable[[Sequence[Document]], list[Candidate]],
) -> None:
    """Read half of the limit from a pool, the rest from a search with the best `count` read.

    `search_again` returns the candidates of that search for the documents that are relevant.
    """
    half = -(-rounds.room // 2)
    first = list(pool[:half])
    if not first:
        return
    rounds.read(first)
    best = rounds.best()[:count]
    if not rounds.room or not best:
        return
    second = [c for c in search_again(best) if c.document.key not in rounds.taken]
    if second:
        rounds.read(second[: rounds.room])
