from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from secondpass.rerank.llm.parse import Repairs, parse_choice, parse_grade, parse_order

IDS = ("kd7r", "bq2x", "zz9w")
texts = st.one_of(
    st.text(max_size=300),
    st.lists(
        st.sampled_from([*IDS, *'[]{}>,":', '"order"', "nope", "\n", " ", "<think>", "1e999"]),
        max_size=40,
    ).map("".join),
)


def order(text: str) -> tuple[int, ...]:
    return parse_order(text, IDS).positions


@given(texts)
def test_any_text_gives_a_permutation_and_a_true_report(text: str) -> None:
    found = parse_order(text, IDS)
    assert sorted(found.positions) == [0, 1, 2]
    assert found.repairs.missing == 3 - found.named
    assert bool(found.repairs) == (str(found.repairs) != "")
    if found.named == 0:
        assert found.positions == (0, 1, 2)


@given(texts)
def test_any_text_gives_a_choice_or_none_and_a_grade_or_none(text: str) -> None:
    place, _ = parse_choice(text, IDS)
    assert place is None or place in range(3)
    grade, _ = parse_grade(text, 4)
    assert grade is None or 0 <= grade <= 4


@given(st.permutations(range(3)))
def test_a_whole_answer_needs_no_repair(places: list[int]) -> None:
    names = [IDS[p] for p in places]
    listed = ", ".join(f'"{n}"' for n in names)
    for text in (
        f'{{"order": [{listed}]}}',
        f"```json\n[{listed}]\n```",
        " > ".join(f"[{n}]" for n in names),
        " > ".join(names).upper(),
        f"[{', '.join(names)}]",
        f"<think>kd7r > bq2x</think>{' > '.join(names)}",
    ):
        found = parse_order(text, IDS)
        assert (found.positions, found.repairs) == (tuple(places), Repairs()), text


def test_what_is_missing_repeated_or_unknown() -> None:
    assert order('["zz9w"]') == (2, 0, 1)
    found = parse_order('["zz9w", "zz9w", "what", 7, null, "bq2x"]', IDS)
    assert found.positions == (2, 1, 0)
    assert (found.repairs.missing, found.repairs.repeated) == (1, 1)
    assert found.repairs.unknown == 3
    assert str(found.repairs) == "1 ids missing, 1 ids repeated, 3 ids unknown"


def test_prose_is_read_in_the_order_in_which_it_names_them() -> None:
    found = parse_order("I like bq2x most. Then comes zz9w, then bq2x again.", IDS)
    assert found.positions == (1, 2, 0)
    assert found.repairs.prose
    assert order("no idea") == (0, 1, 2)
    assert order("") == (0, 1, 2)


def test_the_last_list_and_the_longest_chain_count() -> None:
    assert order('first ["kd7r", "bq2x"], no: ["zz9w", "bq2x", "kd7r"]') == (2, 1, 0)
    assert order("kd7r > bq2x\nbq2x > zz9w > kd7r") == (1, 2, 0)


def test_a_choice_and_a_grade() -> None:
    assert parse_choice('{"best": "BQ2X"}', IDS) == (1, Repairs())
    assert parse_choice("It is zz9w.", IDS)[0] == 2
    assert parse_choice("none", IDS)[0] is None
    assert parse_grade('{"grade": 3}', 4) == (3.0, Repairs())
    assert parse_grade("Grade: 2 of 4", 4)[0] == 2
    assert parse_grade('{"grade": 0}', 4)[0] == 0.0
    for bad in ("7", "-1", "x", '{"grade": true}', '{"grade": NaN}'):
        assert parse_grade(bad, 4)[0] is None, bad
