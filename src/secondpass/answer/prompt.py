"""From ranked results to the passages of a prompt, within a number of tokens.

Who is asked for the text of an answer, and the prompt that they get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from secondpass.answer.query_rewriting import within
from secondpass.answer.types import Passage, Turn
from secondpass.llm import LLM, Prompt
from secondpass.rerank.llm.prompts import Delimiters, PromptTemplate
from secondpass.types import RankedDocument

_SAME_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    ids: tuple[str, ...]
    rank: int
    title: str | None
    probability: float | None
    document: str | None = None
    start: int = 0
    end: int = 0


def assemble(
    results: Sequence[RankedDocument], *, tokens: int, count: Callable[[str], int]
) -> tuple[Passage, ...]:
    """Return the passages to answer from, numbered by rank, the best first.

    Results are taken in order for as long as they fit into `tokens` (by `count`, titles
    included); the best is cut to fit if need be. One whose words are nearly all (9 of 10)
    in a better one is left out. Neighbours of one document (see `retrieve.chunking`) are
    merged where they overlap or touch, into the place of the better one.
    """
    chosen: list[_Piece] = []
    left = tokens
    for result in results:
        piece = _piece(result)
        if piece is None or any(_same(piece, other) for other in chosen):
            continue
        cost = count(f"{piece.title or ''} {piece.text}")
        if cost > left:
            if chosen:
                continue
            piece = replace(piece, text=beginning(piece.text, left, count))
        left -= min(cost, left)
        chosen.append(piece)
    merged = _merge(chosen)
    return tuple(
        Passage(n, p.text, p.ids, p.rank, p.title, p.probability)
        for n, p in enumerate(sorted(merged, key=lambda p: p.rank), start=1)
    )


def ends_first(passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages with the best at both ends and the worst in the middle.

    Models use what stands at the beginning and the end of a long context best. Source: Liu
    et al., "Lost in the Middle", TACL 2024.
    """
    return [*passages[::2], *passages[1::2][::-1]]


def _piece(result: RankedDocument) -> _Piece | None:
    document = result.document
    if document is None or not document.text.strip():
        return None
    known: dict[str, Any] = dict(document.metadata)
    owner, start, end = known.get("document_id"), known.get("start"), known.get("end")
    piece = _Piece(
        document.text,
        () if result.id is None else (result.id,),
        result.rank,
        document.title,
        result.probability,
    )
    placed = isinstance(owner, str) and isinstance(start, int) and isinstance(end, int)
    # Only a text that is exactly what stood at these places can be joined with another.
    if placed and int(end or 0) - int(start or 0) == len(document.text):
        return replace(piece, document=str(owner), start=int(start or 0), end=int(end or 0))
    return piece


def _same(piece: _Piece, other: _Piece) -> bool:
    if piece.text == other.text:
        return True
    if piece.document is not None and piece.document == other.document:
        return False  # neighbours are merged
    words, theirs = (set(p.text.lower().split()) for p in (piece, other))
    return len(words & theirs) >= _SAME_SHARE * len(words) and len(words) > 0


def _merge(pieces: Sequence[_Piece]) -> list[_Piece]:
    merged: list[_Piece] = []
    for piece in sorted(pieces, key=lambda p: (p.document or "", p.start, p.rank)):
        last = merged[-1] if merged else None
        near = (
            last is not None
            and piece.document is not None
            and last.document == piece.document
            and piece.start <= last.end + 1
        )
        if last is None or not near:
            merged.append(piece)
            continue
        if piece.end > last.end:
            gap = " " * max(0, piece.start - last.end)
            text = last.text + gap + piece.text[max(0, last.end - piece.start) :]
        else:
            text = last.text
        chances = [p for p in (last.probability, piece.probability) if p is not None]
        merged[-1] = replace(
            last,
            text=text,
            ids=(*last.ids, *piece.ids),
            rank=min(last.rank, piece.rank),
            probability=max(chances) if chances else None,
            end=max(last.end, piece.end),
        )
    return merged


def beginning(text: str, tokens: int, count: Callable[[str], int]) -> str:
    """Return the longest beginning of whole words that has at most so many tokens, or one."""
    words = text.split(" ")
    low, high = 1, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if count(" ".join(words[:middle])) <= tokens:
            low = middle
        else:
            high = middle - 1
    return " ".join(words[:low])


@dataclass(frozen=True, slots=True)
class GroundedPrompt:
    """Who is asked for the text of an answer, and how."""

    llm: LLM
    template: PromptTemplate
    max_tokens: int
    history: tuple[Turn, ...]
    instructions: str

    def prompt(self, query: str, passages: Sequence[Passage]) -> Prompt:
        """Return the prompt, with the best passages at both ends."""
        texts = [f"{p.number}. {p.title or ''}\n{p.text}" for p in ends_first(passages)]
        asked = within(query, self.history)
        marked = Delimiters().delimit(f"{asked}\n{self.instructions}", texts)
        system, user = self.template.fill(
            {
                "query": asked,
                "documents": marked.text,
                "ids": ", ".join(marked.ids),
                "count": str(len(texts)),
                "mark": marked.mark,
            }
        )
        if self.instructions.strip():
            system = f"{system}\n\n{self.instructions}"
        return Prompt(system, user, max_tokens=self.max_tokens)
