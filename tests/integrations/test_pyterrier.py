from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("pyterrier", reason="the extra pyterrier is not installed")

import pandas as pd
import pyterrier as pt

from secondpass import BaseReranker, InputError, Reranker
from secondpass.integrations.pyterrier import SecondpassReranker
from secondpass.testing import ScriptedReranker
from tests.integrations.conftest import QUERY, RESET, RULES, SEA

TOPICS = pd.DataFrame({"qid": ["1", "2"], "query": [QUERY, "What colour is the sea?"]})


@pytest.fixture
def frame() -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {"qid": qid, "docno": docno, "text": text, "score": 3.0 - rank, "rank": rank}
        for qid in ("1", "2")
        for rank, (docno, text) in enumerate([("a", SEA), ("b", RULES), ("c", RESET)])
    ]
    return pd.DataFrame(rows)


def order(found: pd.DataFrame, qid: str = "1") -> list[str]:
    return list(found[found["qid"] == qid]["docno"])


def test_a_model_by_name_in_a_pipeline(frame: pd.DataFrame) -> None:
    pipe = pt.Transformer.from_df(frame) >> SecondpassReranker("bundled") % 2
    found = pipe(TOPICS)
    assert order(found) == ["c", "b"]
    assert order(found, "2")[0] == "a"
    expected = Reranker().rerank(QUERY, [SEA, RULES, RESET], top_k=2).results
    assert list(found[found["qid"] == "1"]["score"]) == [r.score for r in expected]
    assert list(found["rank"]) == [0, 1, 0, 1]


def test_a_pipeline_is_measured(frame: pd.DataFrame, scripted: ScriptedReranker) -> None:
    judged = pd.DataFrame({"qid": ["1", "2"], "docno": ["c", "c"], "label": [1, 1]})
    first, again = pt.Transformer.from_df(frame), pt.Transformer.from_df(frame)
    pipes = [first, again >> SecondpassReranker(scripted)]
    measured = pt.Experiment(pipes, TOPICS, judged, ["recip_rank"], names=["first", "both"])
    assert list(measured["recip_rank"]) == pytest.approx([1 / 3, 1.0])


def test_the_frame_stays_and_the_types_are_right(
    frame: pd.DataFrame, scripted: ScriptedReranker
) -> None:
    given = frame.merge(TOPICS, on="qid").assign(year=0)
    before = given.copy(deep=True)
    found = SecondpassReranker(scripted)(given)
    pd.testing.assert_frame_equal(given, before)
    assert set(found.columns) == {*given.columns, "rerank_status"}
    assert (found["score"].dtype, found["rank"].dtype) == ("float64", "int64")
    assert list(found.index) == list(range(6))
    assert list(found["score"]) == [2.0, 0.0, -1.0] * 2
    assert set(found["rerank_status"]) == {"reranked"}


@pytest.mark.parametrize("by", ["rank", "score"])
def test_the_first_order_is_that_of_the_column(
    by: str, frame: pd.DataFrame, down: BaseReranker
) -> None:
    given = frame.merge(TOPICS, on="qid").iloc[::-1]
    found = SecondpassReranker(down)(given.drop(columns={"rank", "score"} - {by}))
    assert order(found) == ["a", "b", "c"]
    assert list(found["score"])[:3] == [-1.0, -2.0, -3.0]
    assert set(found["rerank_status"]) == {"fallback"}


def test_limits_and_options(frame: pd.DataFrame, scripted: ScriptedReranker) -> None:
    given = frame.merge(TOPICS, on="qid").rename(columns={"text": "body"})
    one = SecondpassReranker(scripted, text_field="body", top_n=1)(given)
    assert list(one["docno"]) == ["c", "c"]
    none = SecondpassReranker(scripted, text_field="body", options={"min_score": 9.0})(given)
    assert len(none) == 0
    assert none["score"].dtype == "float64"
    empty = SecondpassReranker(scripted, text_field="body")(given.iloc[:0])
    assert len(empty) == 0
    assert set(empty.columns) == {*given.columns, "rerank_status"}


def test_it_tells_its_columns(scripted: ScriptedReranker) -> None:
    columns = ["qid", "query", "docno", "text"]
    found = pt.inspect.transformer_outputs(SecondpassReranker(scripted), columns)
    assert found == [*columns, "score", "rank", "rerank_status"]


def test_mistakes_are_told(frame: pd.DataFrame, scripted: ScriptedReranker) -> None:
    transformer = SecondpassReranker(scripted)
    with pytest.raises(pt.validate.InputValidationError, match="query"):
        transformer(frame)
    given = frame.merge(TOPICS, on="qid")
    with pytest.raises(InputError, match="'1' has more than one text"):
        transformer(given.assign(query=given["docno"], qid="1"))
    with pytest.raises(InputError, match="it must be text"):
        transformer(given.assign(text=[[7]] * len(given)))
    with pytest.raises(InputError, match="query is empty"):
        transformer(given.assign(query=""))


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA], ids=repr)
def test_a_row_without_text_is_last(
    missing: Any, frame: pd.DataFrame, scripted: ScriptedReranker
) -> None:
    given = frame.merge(TOPICS, on="qid").astype({"text": object})
    extra = given.iloc[:1].assign(docno="scan", rank=-1)
    extra["text"] = pd.Series([missing], dtype=object, index=extra.index)
    found = SecondpassReranker(scripted)(pd.concat([extra, given]))
    assert order(found) == ["c", "b", "a", "scan"]
    assert list(found["score"])[:4] == [2.0, 0.0, -1.0, -2.0]
    assert list(found["rank"])[:4] == [0, 1, 2, 3]
    assert list(found["rerank_status"]) == ["reranked"] * 3 + ["no text"] + ["reranked"] * 3


def test_a_number_in_the_column_of_texts_is_read_as_text(frame: pd.DataFrame) -> None:
    frame["text"] = frame["text"].astype(object)
    frame.loc[1, "text"] = 7
    reranker = ScriptedReranker({"7": 3.0}, default=0.0)
    found = SecondpassReranker(reranker)(frame.merge(TOPICS, on="qid"))
    assert set(found["rerank_status"]) == {"reranked"}
    assert order(found) == ["b", "a", "c"]
    assert len(found) == 6
