from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import InputError, ModelError
from secondpass.integrations.shared import (
    OPTIONS,
    RerankerAdapter,
    add_rerank_metadata,
    check_options,
)
from secondpass.testing import ScriptedReranker
from tests.integrations.conftest import RESET, SEA

RESPONSE = ScriptedReranker({}, default=0.0).rerank("q", [RESET])
NAMES = {
    f"rerank_{name}"
    for name in ("status", "scored", "score_kind", "model", "reason", "probability", "unread")
}


def test_only_a_reranker_or_a_name_is_taken() -> None:
    for wrong in (None, 0, ["bundled"], ScriptedReranker):
        with pytest.raises(InputError, match="must be a reranker or a name"):
            RerankerAdapter(wrong, {})  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no model 'bundeld'"):
        RerankerAdapter("bundeld", {})


def test_options_are_those_of_rerank() -> None:
    assert check_options(None) == {}
    assert check_options({"min_score": 0.0}) == {"min_score": 0.0}
    assert "template" in OPTIONS
    with pytest.raises(InputError, match="Did you mean 'min_score'"):
        check_options({"min_scor": 0.5})
    for ours in ("top_k", "return_documents"):
        with pytest.raises(InputError, match="no option"):
            check_options({ours: 1})
    with pytest.raises(InputError, match="must be a mapping"):
        check_options(["fields"])  # type: ignore[arg-type]


def test_the_text_alone_is_read_unless_fields_are_named() -> None:
    document = {"text": RESET, "title": SEA}
    reranker = ScriptedReranker({}, default=1.0)
    RerankerAdapter(reranker, {}).rerank("q", [document], None)
    RerankerAdapter(reranker, {"fields": ["title"]}).rerank("q", [document], None)
    RerankerAdapter(reranker, {"template": "{title}: {text}"}).rerank("q", [document], None)
    assert [c.options.texts(c.candidates) for c in reranker.calls] == [
        [("", RESET)],
        [("", SEA)],
        [(f"{SEA}: ", RESET)],
    ]


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text()))
def test_metadata_is_copied_and_kept(metadata: dict[str, object]) -> None:
    before = dict(metadata)
    copy = add_rerank_metadata(metadata, RESPONSE, RESPONSE.results[0])
    assert metadata == before
    own = {k: v for k, v in metadata.items() if k not in NAMES}
    assert {k: v for k, v in copy.items() if k not in NAMES} == own
    assert copy["rerank_status"] == "reranked"
    assert type(copy["rerank_status"]) is str
    assert "rerank_reason" not in copy


def test_metadata_of_an_earlier_reranking_is_replaced() -> None:
    old = {"rerank_reason": "down", "rerank_probability": 0.5, "rerank_of_mine": 1}
    copy = add_rerank_metadata(old, RESPONSE, RESPONSE.results[0])
    assert set(old) & set(copy) == {"rerank_of_mine"}


def test_spans_are_refused_where_results_have_no_place_for_them() -> None:
    assert check_options({"spans": False}, no_spans_in="frames") == {"spans": False}
    with pytest.raises(InputError, match="frames have no place"):
        check_options({"spans": True}, no_spans_in="frames")
