from __future__ import annotations

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError, SecondpassError
from secondpass.rerank.inputs import to_candidates, to_document
from secondpass.types import Document

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "_id", "text", "title", "metadata", "year"]) | st.text(),
            inner,
        )
    ),
    max_leaves=8,
)


@given(st.lists(anything, max_size=4), st.booleans())
def test_anything_becomes_documents_or_an_input_error(items: list, text_needed: bool) -> None:
    before = copy.deepcopy(items)
    with contextlib.suppress(InputError):
        candidates = to_candidates(items, text_needed=text_needed)
        assert len(candidates) == len(items)
        for candidate in candidates:
            assert isinstance(candidate.document.text, str)
            assert candidate.document.id is None or isinstance(candidate.document.id, str)
    assert repr(items) == repr(before)


def test_mappings() -> None:
    assert to_document({"text": ""}) == Document("")
    assert to_document({"_id": 0, "text": "x", "title": "", "year": 0}) == Document(
        "x", id="0", title="", metadata={"year": 0}
    )
    assert to_document({"text": "x", "metadata": {"a": 1, "b": 1}, "b": 2}).metadata == {
        "a": 1,
        "b": 2,
    }
    assert to_document({"text": "x", "metadata": "free"}).metadata == {"metadata": "free"}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"text": "x", "id": True}, "id = True"),
        ({"text": "x", "title": 3}, "title = 3"),
        ({"text": b"bytes"}, "text = b'bytes'"),
        ({}, "no 'text'"),
        (b"bytes", "a bytes"),
        (Document(None), "text = None"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_used_is_shown(item: object, message: str) -> None:
    with pytest.raises(SecondpassError, match=message):
        to_document(item)
