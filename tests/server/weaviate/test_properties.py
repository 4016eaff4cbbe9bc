"""Properties: tokens and dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.server.weaviate.properties import (
    TOKEN_SEPARATOR,
    TOKENIZATIONS,
    join_tokens,
    parse_rfc3339,
    tokenize,
)

zones = st.builds(
    lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-14 * 60, 14 * 60)
)


@given(st.text(), st.sampled_from(sorted(TOKENIZATIONS)))
def test_tokens_never_hold_what_stands_between_them(text: str, tokenization: str) -> None:
    found = tokenize(text, tokenization)
    assert all(token and TOKEN_SEPARATOR not in token for token in found)
    assert [part for part in join_tokens(found).split(TOKEN_SEPARATOR) if part] == found
    again = tokenize(" ".join(found), tokenization)
    assert again == found or tokenization == "field"


def test_tokenizations() -> None:
    text = " Hello, the_World-1  é "
    assert tokenize(text, "word") == ["hello", "the", "world", "1", "é"]
    assert tokenize(text, "lowercase") == ["hello,", "the_world-1", "é"]
    assert tokenize(text, "whitespace") == ["Hello,", "the_World-1", "é"]
    assert tokenize(text, "field") == ["Hello, the_World-1  é"]
    assert tokenize(" ", "field") == []


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones))
def test_times_are_read_to_the_microsecond(when: datetime) -> None:
    assert parse_rfc3339(when.isoformat()) == when.astimezone(UTC).replace(tzinfo=None)
    if when.utcoffset() == timedelta(0):
        assert parse_rfc3339(
            when.isoformat().replace("+00:00", "z").replace("T", "t")
        ) == parse_rfc3339(when.isoformat())


@given(st.text(max_size=30) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", fullmatch=True))
def test_other_texts_are_no_times(text: str) -> None:
    try:
        expected = datetime.fromisoformat(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            parse_rfc3339(text)
    else:
        if len(text) > 10 and expected.tzinfo is not None and text[10] in "Tt":
            assert parse_rfc3339(text) == expected.astimezone(UTC).replace(tzinfo=None)
