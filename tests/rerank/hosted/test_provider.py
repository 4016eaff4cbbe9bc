from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.remote.client import HttpResponse
from secondpass.remote.retry import RetryPolicy
from secondpass.rerank.hosted.cohere import Cohere
from secondpass.rerank.hosted.provider import (
    Batch,
    Provider,
    error_message,
    scores_by_index,
)
from secondpass.rerank.hosted.registry import BUILT_IN, load_provider

KEYS = ["results", "data", "scores", "output", "rankings", "records", "nextToken"]
KEYS += ["index", "id", "score", "relevance_score", "relevanceScore", "logit"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def response(body: object) -> HttpResponse:
    return HttpResponse(200, content=json.dumps(body).encode())


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30), data=st.data())
def test_any_order_of_rows_gives_the_scores_by_position(
    values: list[float], data: st.DataObject
) -> None:
    rows = [{"index": i, "score": v} for i, v in enumerate(values)]
    shuffled = data.draw(st.permutations(rows))
    assert scores_by_index(shuffled, len(values), score="score", low=0) == values


@pytest.mark.parametrize("name", sorted(BUILT_IN))
@given(body=JSON)
def test_no_response_does_more_than_raise_value_error(name: str, body: object) -> None:
    for variable in ("CLOUDFLARE_ACCOUNT_ID", "AWS_REGION", "GOOGLE_CLOUD_PROJECT"):
        os.environ.setdefault(variable, "any")
    provider: Provider = load_provider(name)
    batch = Batch("m", "q", ["a", "b"])
    try:
        parsed = provider.parse_response(response(body), batch)
    except ValueError:
        return
    assert len(parsed.scores) == 2
    assert all(math.isfinite(s) for s in parsed.scores)


@given(body=JSON)
def test_a_message_is_text_or_none(body: object) -> None:
    assert error_message(body) is None or isinstance(error_message(body), str)


def test_a_bad_count_is_no_reason_to_refuse_scores() -> None:
    rows = [{"index": 0, "relevance_score": 0.5}]
    for units in ("many", None, -1, math.nan, [], True):
        body = {"results": rows, "meta": {"billed_units": {"search_units": units}}}
        parsed = Cohere().parse_response(response(body), Batch("m", "q", ["a"]))
        assert (list(parsed.scores), parsed.searches) == ([0.5], None)


def test_waits_grow_and_end() -> None:
    waits = [RetryPolicy(9, first=1, longest=8).wait(i) for i in range(9)]
    for attempt, wait in enumerate(waits):
        assert wait is not None
        assert 0.75 * min(8, 2**attempt) <= wait <= min(8, 2**attempt)
