from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from secondpass import BaseReranker, ScoreKind
from secondpass.errors import InputError
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.train.data.examples import Examples, Group
from secondpass.train.data.teacher_scores import add_teacher_scores
from secondpass.types import Candidate
from tests.train.toy_examples import toy_examples


class Overlap(BaseReranker):
    """Counts the words that query and document share, and how often it was asked."""

    model = "overlap"

    def __init__(self) -> None:
        self.calls = 0

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        self.calls += 1
        words = set(query.strip("?").split())
        found = [len(words & set(one.document.text.split())) for one in candidates]
        return Scored([Score(float(one)) for one in found], ScoreKind.LOGIT)


def test_each_group_gets_scores_of_its_own_passages_first(tmp_path: Path) -> None:
    examples, teacher = toy_examples(), Overlap()
    scored = add_teacher_scores(examples, teacher, tmp_path / "scores.jsonl", size=6)
    for before, after in zip(examples.groups, scored.groups, strict=True):
        assert after.positives == before.positives
        assert after.negatives[: len(before.negatives)] == before.negatives
        assert after.scores is not None
        assert len(after.scores) == 6
        assert after.scores[0] == max(after.scores)


def test_what_was_asked_is_not_asked_again(tmp_path: Path) -> None:
    examples, file = toy_examples(), tmp_path / "scores.jsonl"
    first = add_teacher_scores(examples, Overlap(), file, size=6)
    # As a process leaves it that was killed while it wrote.
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join(lines[:20]) + b"\n" + lines[20][:30])
    teacher = Overlap()
    assert add_teacher_scores(examples, teacher, file, size=6) == first
    assert teacher.calls == len(examples.groups) - 20
    teacher = Overlap()
    assert add_teacher_scores(examples, teacher, file, size=6) == first
    assert teacher.calls == 0


def test_groups_that_cannot_be_widened_stay_small(tmp_path: Path) -> None:
    examples = Examples(["a b", "c"], [Group("a", (0,), ())])
    (group,) = add_teacher_scores(examples, Overlap(), tmp_path / "scores.jsonl", size=6).groups
    assert group.negatives == (1,)
    with pytest.raises(InputError, match="at least 2"):
        add_teacher_scores(examples, Overlap(), tmp_path / "scores.jsonl", size=1)
