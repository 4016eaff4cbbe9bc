from __future__ import annotations

import contextlib
import copy
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError, SecondpassError
from secondpass.rerank.inputs import to_candidates, to_document
from secondpass.types import Candidate, Document

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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, "7"),
        (7.0, "7"),
        (0.0, "0"),
        (np.int64(2**62 + 1), str(2**62 + 1)),
        (np.uint8(3), "3"),
        (np.float32(7), "7"),
        (np.str_("a"), "a"),
        (Decimal("7.00"), "7"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (None, None),
        (float("nan"), None),
        (np.float64("nan"), None),
        (Decimal("NaN"), None),
        ("", ""),
    ],
)
def test_ids_of_databases_and_data_frames(value: object, expected: str | None) -> None:
    assert to_document({"id": value, "text": "x"}).id == expected
    document = Document("x", value)  # type: ignore[arg-type]
    assert to_document(document).id == expected
    assert to_candidates([Candidate(document, 0.5)]) == [
        Candidate(Document("x", expected), 0.5)
    ]


@pytest.mark.parametrize(
    "value", [1.5, float("inf"), 2.0**53, True, np.bool_(True), b"x", 1j, np.array([1, 2])]
)
def test_what_is_no_id_is_refused_by_position(value: object) -> None:
    with pytest.raises(InputError, match="Document 1 has id") as caught:
        to_candidates(["x", {"id": value, "text": "x"}])
    assert "a whole number or a UUID" in str(caught.value)


def test_missing_values_are_absent() -> None:
    nan = float("nan")
    assert to_document({"id": nan, "_id": np.int32(2), "title": nan, "text": "x"}) == Document(
        "x", "2"
    )
    assert to_document(Document("x", "a", nan)) == Document("x", "a")  # type: ignore[arg-type]
    missing = type("NAType", (), {"__module__": "pandas._libs.missing"})
    assert to_document({"id": missing(), "title": missing(), "text": "x"}) == Document("x")


@pytest.mark.parametrize(
    ("methods", "advice"),
    [
        (["to_dict"], 'Pass df.to_dict("records").'),
        (["to_dict", "to_dicts"], "Pass df.to_dicts()."),
        (["to_pylist"], "Pass df.to_pylist()."),
    ],
)
def test_a_frame_is_not_a_list_of_its_columns(methods: list[str], advice: str) -> None:
    body = {"columns": ["id", "text"], "__iter__": lambda self: iter(self.columns)}
    frame = type("Frame", (), body | dict.fromkeys(methods))()
    with pytest.raises(InputError, match="it is a frame") as caught:
        to_candidates(frame)
    assert advice in str(caught.value)


def test_a_pandas_frame_is_refused_and_its_rows_are_read() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"id": [1], "text": ["The key is here."]})
    with pytest.raises(InputError, match="it is a frame"):
        to_candidates(frame)
    for rows in (frame.to_dict("records"), frame["text"]):
        assert to_candidates(rows)[0].document.text == "The key is here."
