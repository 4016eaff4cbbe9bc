from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from secondpass.remote.sse import Event, EventParser


def events(*pieces: bytes) -> list[Event]:
    parser = EventParser()
    found = [event for piece in pieces for event in parser.feed(piece)]
    return found + list(parser.end())


def test_names_comments_and_many_lines() -> None:
    head = b"\xef\xbb\xbf: hi\nevent: a\ndata: one\ndata:two\nid: 7\n\n\ndata\n\n"
    assert events(head, b"event: b\n\ndata: cut") == [Event("a", "one\ntwo"), Event("", "")]


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=9)


@given(
    st.lists(LINES, max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_where_the_bytes_are_cut_makes_no_difference(
    texts: list[str], end: str, cuts: list[int]
) -> None:
    data = "".join(f"event: e{end}data: {text}{end}{end}" for text in texts).encode()
    places = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    pieces = [data[a:b] for a, b in pairwise(places)]
    assert events(*pieces) == [Event("e", text) for text in texts]


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_any_bytes_are_read_without_failing(pieces: list[bytes]) -> None:
    assert all(isinstance(e, Event) for e in events(*pieces))
