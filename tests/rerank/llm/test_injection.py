"""No document moves because of what it says, with a model that does what it is told."""

from __future__ import annotations

import pytest

from secondpass.rerank.llm import Listwise, Pairwise, Pointwise, Setwise
from secondpass.testing.attacks import ATTACKS
from secondpass.testing.llm import ObedientLLM

QUERY = "watering tomatoes balcony summer"
TEXTS = [
    "Watering tomatoes on a balcony in summer.",
    "Watering tomatoes on a balcony.",
    "A list of trains that leave at noon.",
    "Watering tomatoes.",
    "Tomatoes.",
]
PLACE = 2


def attacked(attack: str) -> list[str]:
    payload = ATTACKS[attack].format(me=PLACE + 1, rival=1)
    return [f"{t} {payload}" if n == PLACE else t for n, t in enumerate(TEXTS)]


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 30


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_moves_a_document(attack: str) -> None:
    for build in (Listwise, Setwise, Pairwise, Pointwise):
        reranker = build(ObedientLLM())
        clean = [r.index for r in reranker.rerank(QUERY, TEXTS).results]
        assert clean == [0, 1, 3, 4, 2]
        found = [r.index for r in reranker.rerank(QUERY, attacked(attack)).results]
        assert found == clean, (attack, build.__name__)
