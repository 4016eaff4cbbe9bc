from __future__ import annotations

from pathlib import Path

import onnxruntime as ort
import pytest

from secondpass import Reranker
from secondpass.errors import ModelError
from secondpass.inference.native import runtime as native
from secondpass.inference.runtimes import ENVIRONMENT
from secondpass.profiling import measure_rates, profile_model
from secondpass.profiling.profile import (
    COMPRESSING,
    OTHER,
    QUESTION,
    READING,
    TOKENIZE,
    sample_texts,
)
from secondpass.profiling.record import ATTEND
from tests.tiny_models import tiny_cross_encoder

TEXTS = sample_texts(6, 20)


def test_a_reader_is_profiled_with_new_and_with_known_documents() -> None:
    plain = ort.InferenceSession
    # Another number of threads than other tests, so that no open encoder is shared.
    found = profile_model("bundled", QUESTION, TEXTS, threads=3)
    assert ort.InferenceSession is plain
    assert found.architecture == "reader"
    new, known = found.phases
    for phase in found.phases:
        assert sum(phase.parts.values()) == pytest.approx(phase.seconds, rel=0.05)
        assert min(phase.parts.values()) >= 0
        assert phase.parts[READING] > 0
        assert phase.parts[TOKENIZE] > 0
        assert phase.documents == phase.windows == 6
        assert phase.operations["int8"] > phase.operations["fp32"] > 0
    assert COMPRESSING in new.parts
    assert COMPRESSING not in known.parts
    assert new.tokens > 6 * 20 > known.tokens
    assert new.operations["int8"] > known.operations["int8"]


def test_a_cross_encoder_is_told_apart_by_layer(cross_encoder: Path) -> None:
    (phase,) = profile_model(cross_encoder, "how do i reset my password", TEXTS).phases
    assert [p for p in phase.parts if p not in (TOKENIZE, OTHER)] == [
        "embeddings",
        "layers 1-2",
        "head",
        "between operators",
    ]
    assert phase.parts["layers 1-2"] > 0
    assert phase.operations["int8"] == 0


def test_an_encoder_in_our_own_machine_code_is_told_apart_likewise(
    int8_cross_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = native.native_runtime
    query = "how do i reset my password"
    (phase,) = profile_model(int8_cross_encoder, query, TEXTS, threads=2).phases
    assert native.native_runtime is plain
    assert ATTEND in phase.operators
    assert [p for p in phase.parts if p not in (TOKENIZE, OTHER)] == [
        "embeddings",
        "layers 1-2",
        "head",
        "between operators",
    ]
    assert min(phase.parts.values()) >= 0
    assert sum(phase.parts.values()) == pytest.approx(phase.seconds, rel=0.05)
    for kind in ("int8", "fp32"):
        assert 0 < phase.product_seconds[kind] < phase.seconds
    monkeypatch.setenv(ENVIRONMENT, "onnxruntime")
    (other,) = profile_model(int8_cross_encoder, query, TEXTS).phases
    assert ATTEND not in other.operators
    assert list(other.parts) == list(phase.parts)
    # There rows are padded, and the last layer makes queries of all tokens.
    assert phase.operations["int8"] < other.operations["int8"] < 2 * phase.operations["int8"]


def test_a_model_without_onnx_cannot_be_profiled(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path)
    with pytest.raises(ModelError, match="ONNX"):
        profile_model(tmp_path, QUESTION, TEXTS)


def test_rates_count_every_query() -> None:
    done: list[int] = []
    rates = measure_rates(
        Reranker(), QUESTION, TEXTS, rounds=3, progress=lambda n, total: done.append(n)
    )
    assert done == [1, 2, 3, 4]
    assert (rates.documents, rates.rounds) == (6, 3)
    assert 0 < rates.p50 <= rates.p95
    assert rates.documents_per_second == pytest.approx(6000 / rates.p50)


def test_sample_texts_are_the_same_each_time() -> None:
    assert sample_texts(6, 20) == TEXTS
    assert len(set(TEXTS)) == 6
    assert all(len(text.split()) == 20 for text in TEXTS)
