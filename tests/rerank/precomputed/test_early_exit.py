"""The bundled readers with exits: what they leave out, and that nothing else changes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondpass import InputError, Reranker, RerankResponse, ScoreKind
from secondpass.errors import ModelDamagedError
from secondpass.models import bundled_path
from tests.tiny_models import tiny_cross_encoder, tiny_reader

SAMPLE = Path(__file__).parents[3] / "examples" / "wikipedia"
QUERY = "When did the black death reach Europe?"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    with (SAMPLE / "corpus.jsonl").open(encoding="utf-8") as lines:
        every = [json.loads(line)["text"][:300] for line in lines]
    return every[::37]


@pytest.fixture(scope="module", params=["bundled", "bundled-tiny"])
def both(request: pytest.FixtureRequest) -> tuple[Reranker, Reranker]:
    return Reranker(request.param), Reranker(request.param, early_exit=True)


def scores(response: RerankResponse) -> dict[int, float]:
    return {r.index: r.score for r in response.results}


def same(response: RerankResponse, expected: RerankResponse) -> bool:
    """Whether two responses rank alike, with scores that differ in their last bits only."""
    return [r.index for r in response.results] == [r.index for r in expected.results] and (
        scores(response) == pytest.approx(scores(expected), abs=1e-4)
    )


def test_the_top_is_that_of_reading_all(
    both: tuple[Reranker, Reranker], texts: list[str]
) -> None:
    whole, early = both
    response = early.rerank(QUERY, texts, top_k=3)
    assert same(response, whole.rerank(QUERY, texts, top_k=3))
    assert 3 <= response.usage.pairs < len(texts)


def test_without_fewer_results_wanted_all_are_read(
    both: tuple[Reranker, Reranker], texts: list[str]
) -> None:
    whole, early = both
    for top_k in (None, len(texts), len(texts) + 1):
        found = early.rerank(QUERY, texts, top_k=top_k)
        assert same(found, whole.rerank(QUERY, texts, top_k=top_k))
        assert found.usage.pairs == len(texts)


def test_a_call_says_how_many_first_ones_are_wanted_and_gets_all(
    both: tuple[Reranker, Reranker], texts: list[str]
) -> None:
    whole, _ = both
    expected = whole.rerank(QUERY, texts)
    found = whole.rerank(QUERY, texts, early_exit_at=3)
    assert sorted(r.index for r in found.results) == list(range(len(texts)))
    assert [r.index for r in found.results[:3]] == [r.index for r in expected.results[:3]]
    read = {r.index: r.score for r in found.results if r.scored}
    assert 3 <= len(read) == found.usage.scored < len(texts)
    assert read == pytest.approx({i: scores(expected)[i] for i in read}, abs=1e-4)
    assert f"{len(read)} of {len(texts)} texts could be among the first" in str(found.reason)
    # It takes the place of `top_k`, and more than there are leaves nothing out.
    assert same(
        whole.rerank(QUERY, texts, early_exit_at=3, top_k=20),
        replace(found, results=found.results[:20]),
    )
    assert same(whole.rerank(QUERY, texts, early_exit_at=10_000), expected)


@pytest.mark.parametrize("wrong", [0, -1, True, 2.5, "3"])
def test_a_number_of_first_ones_that_cannot_be(wrong: Any) -> None:
    with pytest.raises(InputError, match="early_exit_at"):
        Reranker().rerank(QUERY, ["a"], early_exit_at=wrong)


def test_what_was_left_out_stands_below_and_is_marked(
    both: tuple[Reranker, Reranker], texts: list[str]
) -> None:
    whole, early = both
    # A policy that wraps it sees all candidates; `rerank` itself cuts to top_k.
    from secondpass import Candidate, Document
    from secondpass.rerank.results import rank_results
    from secondpass.rerank.scoring_options import ScoringOptions

    candidates = [Candidate(Document(text)) for text in [*texts, texts[0]]]
    scored = early.score(QUERY, candidates, ScoringOptions(top_k=2))
    results = rank_results(candidates, scored, ScoringOptions(), return_documents=True)
    read = [r for r in results if r.scored]
    left = [r for r in results if not r.scored]
    assert results == [*read, *left]
    assert len(read) >= 2
    assert left
    expected = scores(whole.rerank(QUERY, candidates))
    for result in read:
        assert result.score == pytest.approx(expected[result.index], abs=1e-4)
    for result in left:
        assert result.score <= read[-1].score
        assert result.score_kind is ScoreKind.RANK
        assert result.probability is None
        assert result.windows == 0
    assert scored.scores[0] == scored.scores[-1]


def test_min_score_never_keeps_what_was_left_out(
    both: tuple[Reranker, Reranker], texts: list[str]
) -> None:
    _, early = both
    for result in early.rerank(QUERY, texts, top_k=4, min_score=-1e9).results:
        assert result.scored


def test_nothing_is_encoded_twice(both: tuple[Reranker, Reranker], texts: list[str]) -> None:
    name = both[1].model
    forgetful = Reranker(name, early_exit=True)
    forgetful.backend.cache.limit = 0  # type: ignore[attr-defined]
    first = forgetful.rerank(QUERY, texts, top_k=1).usage.tokens
    everything = Reranker(name).rerank(QUERY, texts).usage.tokens
    assert first == everything


def test_a_model_without_exits_says_so(tmp_path: Path) -> None:
    tiny_reader(tmp_path / "reader")
    tiny_cross_encoder(tmp_path / "cross")
    for name in ("reader", "cross"):
        with pytest.raises(InputError, match="does not support early_exit"):
            Reranker(tmp_path / name, early_exit=True)
        with pytest.raises(InputError, match="does not support early_exit"):
            Reranker(tmp_path / name).rerank(QUERY, ["a", "b"], early_exit_at=1)


def test_a_garbled_exit_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled_path("bundled"), folder)
    manifest = json.loads((folder / "secondpass.json").read_text())
    for wrong in ({**manifest["exit"], "margin": -1}, {}, "x"):
        garbled = json.dumps({**manifest, "exit": wrong})
        (folder / "secondpass.json").write_text(garbled)
        with pytest.raises(ModelDamagedError):
            Reranker(folder)
    del manifest["files"]["start.onnx"]
    (folder / "secondpass.json").write_text(json.dumps(manifest))
    (folder / "start.onnx").unlink()
    with pytest.raises(ModelDamagedError, match=r"start\.onnx"):
        Reranker(folder)
