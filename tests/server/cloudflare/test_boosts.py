"""Score boosts by metadata fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.cloudflare.boosts import boost_scores
from secondpass.server.cloudflare.filters import filterable_fields

FIELDS = filterable_fields(
    [{"field_name": "n", "data_type": "number"}, {"field_name": "b", "data_type": "boolean"}]
)
_rows = st.lists(
    st.fixed_dictionaries(
        {}, optional={"number_n": st.floats(-1e308, 1e308), "boolean_b": st.booleans()}
    ),
    min_size=1,
    max_size=8,
)


@given(_rows, st.sampled_from(["asc", "desc"]), st.floats(0, 1))
def test_boosted_scores_stay_between_0_and_1_and_follow_the_field(
    rows: list[dict[str, Any]], direction: Any, score: float
) -> None:
    rules: Any = [{"field": "N", "direction": direction}, {"field": "b"}]
    boosted = boost_scores([score] * len(rows), rows, rules, FIELDS)
    assert all(0 <= s <= 1 for s in boosted)
    alone = boost_scores([score] * len(rows), rows, rules[:1], FIELDS)
    known = [
        (row["number_n"], s) for row, s in zip(rows, alone, strict=True) if "number_n" in row
    ]
    sign = 1 if direction == "desc" else -1
    for value, score_a in known:
        for other, score_b in known:
            if sign * value > sign * other:
                assert score_a >= score_b
    assert boost_scores([score], [{}], [], FIELDS) == [score]


def test_boosts_by_existence() -> None:
    rows: Any = [{"boolean_b": False}, {}]
    assert boost_scores([0.5, 0.5], rows, [{"field": "b"}], FIELDS)[0] == pytest.approx(
        0.6 / 1.1
    )
    rule: Any = [{"field": "b", "direction": "not_exists"}]
    assert boost_scores([0.5, 0.5], rows, rule, FIELDS) == pytest.approx([0.5 / 1.1, 0.6 / 1.1])
