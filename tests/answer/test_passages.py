from __future__ import annotations

from secondpass import Document, FirstStageScores, Origin, RankedDocument, ScoreKind
from secondpass.answer.passages import select_passages


def words(text: str) -> int:
    return len(text.split())


def result(
    rank: int, text: str, *, name: str = "", chunk: tuple[str, int] | None = None
) -> RankedDocument:
    origin = None if chunk is None else Origin(chunk[0], 1, chunk[1], chunk[1] + len(text))
    return RankedDocument(
        index=rank - 1,
        rank=rank,
        score=1.0,
        score_kind=ScoreKind.RANK,
        first_stage=FirstStageScores(rank),
        id=name or f"d{rank}",
        document=Document(text, origin=origin),
        probability=1 / rank,
    )


def test_neighbours_are_merged_and_copies_left_out() -> None:
    whole = "The first part of it. The second part of it. The third part of it."
    found = select_passages(
        [
            result(1, whole[22:44], chunk=("x", 22)),
            result(2, "Something else."),
            result(3, whole[10:30], chunk=("x", 10)),
            result(4, "Something  else."),
            result(5, "something else."),
            result(6, whole[45:], chunk=("x", 45)),
        ],
        max_tokens=1000,
        count_tokens=words,
    )
    assert [p.text for p in found] == [whole[10:], "Something else."]
    assert found[0].ids == ("d3", "d1", "d6")
    assert (found[0].rank, found[0].probability) == (1, 1.0)


def test_the_context_stays_within_its_tokens() -> None:
    some = [result(n, f"number {n} " * n) for n in range(1, 9)]
    for tokens in (1, 5, 30, 100):
        found = select_passages(some, max_tokens=tokens, count_tokens=words)
        assert found
        assert sum(words(p.text) for p in found) <= max(tokens, 1)
    assert select_passages([result(1, " ")], max_tokens=9, count_tokens=words) == ()
