from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import FilterError, InputError
from secondpass.inference.unicode import clean
from secondpass.retrieve.backends.lance.schema import column_value, fit_columns, kind_of
from secondpass.retrieve.metadata import bad_filter, check_shape, decode, encode
from secondpass.retrieve.store_protocol import Passage

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=5))])),
)
VALUES = st.recursive(
    SCALARS,
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(["$sp", "v"]), v, max_size=3)
        | st.lists(v, max_size=2).map(tuple)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text() | st.sampled_from(["$sp", "v"]), VALUES, max_size=4))
def test_metadata_comes_back_as_it_was(metadata):
    assert decode(encode(metadata)) == metadata


@given(st.text(st.characters()))
def test_clean_text_is_utf_8_and_stays_if_it_was(text):
    cleaned = clean(text)
    cleaned.encode()
    assert clean(cleaned) == cleaned
    assert cleaned == text or any("\ud800" <= c <= "\udfff" for c in text)


def test_surrogates():
    assert clean("a\ud800b\udfff") == "a\ufffdb\ufffd"
    assert clean("\ud83d\ude00") == "😀"


def test_numpy_scalars_become_plain():
    metadata = {"a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True)}
    assert decode(encode(metadata)) == {"a": 3, "b": 0.5, "c": True}
    assert [kind_of(v) for v in metadata.values()] == ["integer", "number", "boolean"]


@pytest.mark.parametrize("value", [b"x", {1, 2}, {1: 2}, object(), [b"x"], {"a": {2: 1}}])
def test_what_json_cannot_hold_is_refused_by_name(value):
    with pytest.raises(InputError, match=r"'field'.*document 'd1'"):
        encode({"field": value}, document="d1")
    with pytest.raises(InputError, match="key"):
        encode({3: "x"})


def test_kinds():
    assert kind_of(True) == "boolean"
    assert kind_of(2**63) == "number"
    assert kind_of(-(2**63)) == "integer"
    assert kind_of(datetime(2020, 1, 1)) == "datetime"
    assert kind_of(date(2020, 1, 1)) == "date"
    assert kind_of([1]) is kind_of(None) is None
    assert column_value(10**400, "number") == float("inf")
    local = datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert column_value(local, "datetime") == datetime(2020, 1, 1)


def of(**metadata):
    return Passage("d", "", metadata=metadata)


def test_a_plan_widens_and_adds():
    found = fit_columns({"Year": "integer"}, [of(year=1, new=1), of(year=2.5, new=2.5)])
    assert found.kinds == {"Year": "number", "new": "number"}
    assert (found.new, found.widened) == (["new"], ["Year"])
    assert found.rows == [{"Year": 1.0, "new": 1.0}, {"Year": 2.5, "new": 2.5}]


def test_names_that_differ_only_in_case():
    assert fit_columns({}, [of(A=1), of(a=2)]).rows == [{"A": 1}, {"A": 2}]
    with pytest.raises(InputError, match="twice"):
        fit_columns({}, [of(A=1, a=2)])


@pytest.mark.parametrize(
    ("condition", "name", "advice"),
    [
        ('Party = "D"', "D", "single quotes: 'D'"),
        ('Party = "O\'B"', "O'B", "single quotes: 'O''B'"),
    ],
)
def test_names_and_texts_in_the_wrong_quotes(condition: str, name: str, advice: str) -> None:
    reason = f'Schema error: No field named "{name}". Valid fields are `_sp_doc`, `Party`.'
    message = str(bad_filter(condition, reason, {"Party": "text"}))
    assert advice in message
    assert "_sp_" not in message


def test_a_field_in_single_quotes_is_refused() -> None:
    with pytest.raises(FilterError, match="write the field as Party"):
        check_shape("'Party' = 'D'", {"Party": "text"})
    check_shape("name = 'Party' AND year = 3", {"Party": "text", "name": "text"})
