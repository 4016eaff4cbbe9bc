"""The reader on a tiny folder: what it reads, what it keeps, what it refuses."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from secondpass import (
    Embedder,
    InputError,
    ModelError,
    PassageAggregation,
    Reranker,
    ScoreKind,
    Status,
)
from secondpass.errors import ModelDamagedError, ModelNotFoundError
from secondpass.inference.model_folder import open_folder
from secondpass.models import bundled_path
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS, Blend
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.records import RecordCache
from secondpass.rerank.precomputed.types import Record, record_key
from tests.tiny_models import CODES, MAX_TOKENS, tiny_encoder_with_states, tiny_reader

QUERY = "How do I change my password?"
TEXTS = [
    "You can reset the password from the mail.",
    "bread",
    "The sea is blue and the river is slow when a storm is on the sky.",
    "",
    "I forget 7 yes",
]
WINDOW = MAX_TOKENS - 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reader")
    tiny_reader(place)
    return place


@pytest.fixture
def reader(folder: Path) -> PrecomputedReranker:
    return PrecomputedReranker(open_folder(folder))


def question_tokens(reader: PrecomputedReranker, query: str = QUERY) -> int:
    return reader.encoder.tokenizer.count(query) + reader.encoder.tokenizer.special


def test_scores_are_those_of_the_graphs_one_document_at_a_time(
    folder: Path, reader: PrecomputedReranker
) -> None:
    encode, compress, score = (
        ort.InferenceSession(str(folder / name))
        for name in ("encoder/model.onnx", "compress.onnx", "model.onnx")
    )

    def encoded(text: str) -> list[np.ndarray]:
        ids = np.array([reader.encoder.tokenizer.single(_ids(reader, text))[0]])
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        return encode.run(["embeddings", "states"], feeds)

    query_embedding, query_states = encoded(QUERY)
    for result in reader.rerank(QUERY, TEXTS).results:
        embedding, states = encoded(TEXTS[result.index])
        codes, scales = compress.run(["codes", "scales"], {"states": states})
        feeds = {
            "query_states": query_states,
            "query_embedding": query_embedding,
            "document_codes": codes,
            "document_scales": scales,
            "document_mask": np.ones(scales.shape, dtype=np.int64),
            "document_embeddings": embedding,
        }
        (expected,) = score.run(["scores"], feeds)
        # Scales are kept in half precision.
        assert result.score == pytest.approx(float(expected[0]), abs=5e-3)


def _ids(reader: PrecomputedReranker, text: str) -> list[int]:
    return list(reader.encoder.tokenizer.encode([text], limit=99)[0].ids)


def test_it_is_loaded_by_its_architecture(folder: Path) -> None:
    reranker = Reranker(folder)
    assert isinstance(reranker.base, PrecomputedReranker)
    response = reranker.rerank(QUERY, TEXTS)
    assert response.status is Status.RERANKED
    assert {r.score_kind for r in response.results} == {ScoreKind.LOGIT}
    assert reranker.base.encoder is Embedder(folder / "encoder").encoder


def test_documents_are_read_once_and_the_query_once(
    folder: Path, reader: PrecomputedReranker
) -> None:
    tokens = sum(len(_ids(reader, t)) + 2 for t in TEXTS)
    before = reader.encoder.encoded
    first = reader.rerank(QUERY, [*TEXTS, TEXTS[0]])
    assert first.usage.tokens == tokens + question_tokens(reader)
    assert first.usage.pairs == len(TEXTS)
    assert reader.encoder.encoded == before + len(TEXTS) + 1
    again = reader.rerank(QUERY, [*TEXTS, TEXTS[0]])
    assert again.usage.tokens == question_tokens(reader)
    assert reader.encoder.encoded == before + len(TEXTS) + 1
    assert again.results == first.results
    other = reader.rerank("bread and water", TEXTS)
    assert other.usage.tokens == question_tokens(reader, "bread and water")
    # The first pass has encoded the question already.
    Embedder(folder / "encoder").encode(["is the sea slow"])
    before = reader.encoder.encoded
    reader.rerank("is the sea slow", TEXTS)
    assert reader.encoder.encoded == before


def test_texts_of_the_same_tokens_tie_to_the_last_bit(reader: PrecomputedReranker) -> None:
    texts = ["The sea", "the SEA", "  the\nsea ", {"title": "the", "text": "sea"}]
    response = reader.rerank(QUERY, texts)
    assert len({r.score for r in response.results}) == 1
    assert response.usage.tokens == 4 + question_tokens(reader)


def test_a_score_is_the_same_alone_and_among_others(
    reader: PrecomputedReranker, folder: Path
) -> None:
    texts = [" ".join(["river sea sky storm bread water"] * n) for n in range(1, 8)] + TEXTS
    together = {r.index: r.score for r in reader.rerank(QUERY, texts).results}
    for index, text in enumerate(texts):
        alone = PrecomputedReranker(open_folder(folder)).rerank(QUERY, [text]).results[0].score
        assert alone == pytest.approx(together[index], abs=1e-3)


def test_windows_are_the_tokens_that_the_embedder_reads(
    folder: Path, reader: PrecomputedReranker
) -> None:
    embedder = Embedder(folder / "encoder")
    assert embedder.max_length == reader.max_length == WINDOW
    for title, text in [
        ("", "bread"),
        ("a slow ship", "the sea is blue"),
        ("a very long title with " + "storm " * 20, "sea"),
        ("ship", "river " * 100),
        ("", "x " * 3000),
    ]:
        first, *_ = reader.unread_windows([(title, text)])
        (expected,) = embedder.sequences([f"{title}\n{text}" if title else text])
        np.testing.assert_array_equal(first[0], expected[0])
        assert record_key(first) == record_key(expected)


def test_long_documents_are_windowed_and_the_title_stands_on_each(
    reader: PrecomputedReranker,
) -> None:
    words = ["river", "sea", "sky", "storm", "bread", "water"]
    text = " ".join(words[i % 6] for i in range(120))
    document = {"title": "slow ship", "text": text}
    passages = PassageAggregation("max", overlap=0.25, limit=50)
    (whole,) = reader.rerank(QUERY, [document], passages=passages).results
    size = WINDOW - 2 - 2
    spans = passages.windows(120, size)
    assert whole.windows == len(spans) > 1
    assert not whole.truncated
    by_hand = [
        reader.rerank(QUERY, [{"title": "slow ship", "text": " ".join(text.split()[a:b])}])
        for a, b in spans
    ]
    assert whole.score == max(r.results[0].score for r in by_hand)


def test_what_was_not_read_is_counted(reader: PrecomputedReranker) -> None:
    text = " ".join(["water"] * 120)
    (first,) = reader.rerank(QUERY, [text], passages="first").results
    assert (first.windows, first.unread) == (1, len(text) - (6 * (WINDOW - 2) - 1))
    (short,) = reader.rerank(QUERY, [text], passages="first", max_length=32).results
    assert short.unread == len(text) - (6 * (32 - 2) - 1)
    (tiny,) = reader.rerank(QUERY, [text], passages="first", max_length=1).results
    assert tiny.unread == len(text) - (6 * 16 - 1)
    (long,) = reader.rerank(QUERY, [text], passages="first", max_length=MAX_TOKENS).results
    assert long.unread == len(text) - (6 * (MAX_TOKENS - 2) - 1)
    with pytest.raises(InputError, match="at most 64"):
        reader.rerank(QUERY, TEXTS, max_length=MAX_TOKENS + 1)


def test_a_query_is_read_whole_as_far_as_the_model_can(reader: PrecomputedReranker) -> None:
    query = " ".join(["password"] * (MAX_TOKENS - 3))
    ends = [reader.rerank(f"{query} {w}", TEXTS[:1]).results[0].score for w in ("sea", "sky")]
    assert ends[0] != ends[1]
    longer = reader.rerank(f"{query} password sea", TEXTS[:1])
    assert longer.query_unread == len(" password")
    assert longer.results[0].score == ends[0]


def test_no_states_are_held_in_full_precision(folder: Path) -> None:
    reader = PrecomputedReranker(open_folder(folder), cache_bytes=0)
    texts = [f"{'river sea ' * 18} {i}" for i in range(1000)]
    reader.rerank(QUERY, texts[:300])
    gc.collect()
    tracemalloc.start()
    reader.rerank(QUERY, texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 1,000 windows of 40 tokens and 32 numbers are 5 MB in full precision; ids and texts
    # have their own share.
    assert reader.cache.nbytes == 0
    assert peak < 3_500_000


def test_the_cache_is_bounded_in_bytes_and_forgets_the_oldest() -> None:
    def record(tokens: int) -> Record:
        return Record(
            np.zeros((tokens, 8), np.int8),
            np.zeros(tokens, np.float16),
            np.zeros(2, np.float32),
        )

    cache = RecordCache(3 * record(10).nbytes)
    for key in (b"a", b"b", b"c"):
        cache.put(key, record(10))
    assert cache.get(b"a") is not None
    cache.put(b"d", record(10))
    assert cache.get(b"b") is None
    assert all(cache.get(key) is not None for key in (b"a", b"c", b"d"))
    cache.put(b"a", record(10))
    assert cache.nbytes == cache.limit
    cache.put(b"huge", record(1000))
    assert cache.get(b"huge") is None
    assert cache.nbytes == cache.limit
    cache.put(b"most", record(29))
    assert cache.nbytes <= cache.limit
    assert cache.get(b"most") is not None


def changed(folder: Path, **fields: object) -> Path:
    file = folder / "secondpass.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    return folder


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"codes": None}, ModelDamagedError, "secondpass.json"),
        ({"codes": 0}, ModelDamagedError, "codes is 0"),
        ({"calibration": {"scale": 0.0, "shift": 1.0}}, ModelDamagedError, "calibration"),
        ({"calibration": {"scale": 1.0}}, ModelDamagedError, "shift"),
        ({"blend": {"rerank": -1}}, ModelDamagedError, "0 or more"),
        ({"blend": {"vektor": 1}}, ModelDamagedError, "vektor"),
        ({"blend": ["rerank"]}, ModelDamagedError, "not valid"),
        ({"max_length": "long"}, ModelDamagedError, "long"),
        ({"encoder": {}}, ModelDamagedError, "neither 'model' nor 'folder'"),
        ({"encoder": None}, ModelDamagedError, "NoneType"),
        ({"encoder": {"folder": "../elsewhere"}}, ModelDamagedError, "outside"),
        ({"encoder": {"folder": "absent"}}, ModelNotFoundError, "absent"),
        ({"encoder": {"model": "no-such-model"}}, ModelNotFoundError, "not bundled"),
        ({"encoder": {"model": "bundled", "digest": "00"}}, ModelError, "another encoder"),
        ({"encoder": {"folder": "encoder", "digest": "00"}}, ModelError, "another encoder"),
        (
            {"encoder": {"folder": "encoder", "digest": None}, "codes": 7},
            ModelError,
            "wrong shape",
        ),
    ],
)
def test_a_folder_that_cannot_be_used(
    tmp_path: Path, fields: dict, error: type[ModelError], message: str
) -> None:
    tiny_reader(tmp_path)
    with pytest.raises(error, match=message):
        PrecomputedReranker(open_folder(changed(tmp_path, **fields))).rerank(QUERY, TEXTS)


def test_calibration_scales_and_shifts_the_logit(tmp_path: Path) -> None:
    tiny_reader(tmp_path)
    plain = Reranker(tmp_path).rerank(QUERY, TEXTS).results
    changed(tmp_path, calibration={"scale": 0.5, "shift": -3.0})
    calibrated = Reranker(tmp_path).rerank(QUERY, TEXTS).results
    assert [r.index for r in calibrated] == [r.index for r in plain]
    for before, after in zip(plain, calibrated, strict=True):
        assert after.score == pytest.approx(0.5 * before.score - 3.0)
        assert after.probability < before.probability or before.score < -6


def test_weights_of_a_model_are_those_of_its_blend(tmp_path: Path) -> None:
    tiny_reader(tmp_path)
    assert Blend(Reranker(tmp_path)).weights == DEFAULT_WEIGHTS
    changed(tmp_path, blend={"rerank": 0.5, "bm25": 1})
    reranker = Reranker(tmp_path)
    assert Blend(reranker).weights == {"rerank": 0.5, "bm25": 1}
    assert Blend(Blend(reranker)).weights == {"rerank": 0.5, "bm25": 1}
    assert Blend(reranker, DEFAULT_WEIGHTS).weights == DEFAULT_WEIGHTS


def test_cached_scores_stay_valid_whatever_scores_sentences(tmp_path: Path) -> None:
    tiny_reader(tmp_path)
    identity = Reranker(tmp_path).identity
    (tmp_path / "spans.onnx").write_bytes((bundled_path("bundled") / "spans.onnx").read_bytes())
    changed(tmp_path, spans={"scale": 2.0, "shift": 0.0})
    assert Reranker(tmp_path).identity == identity
    changed(tmp_path, calibration={"scale": 2.0, "shift": 0.0})
    assert Reranker(tmp_path).identity != identity


def test_a_graph_of_sentences_that_scores_texts_is_refused(tmp_path: Path) -> None:
    tiny_reader(tmp_path)
    (tmp_path / "spans.onnx").write_bytes((bundled_path("bundled") / "start.onnx").read_bytes())
    changed(tmp_path, spans={"scale": 1.0, "shift": 0.0})
    with pytest.raises(ModelDamagedError, match=r"its outputs are scores, not answers"):
        Reranker(tmp_path).rerank(QUERY, ["a river. a sea."], spans=True)


def test_a_missing_graph_and_a_missing_output(tmp_path: Path) -> None:
    tiny_reader(tmp_path / "a")
    (tmp_path / "a" / "compress.onnx").unlink()
    with pytest.raises(ModelDamagedError, match=r"compress\.onnx is missing"):
        Reranker(tmp_path / "a")
    tiny_reader(tmp_path / "b")
    changed(tmp_path / "b", files={})
    (tmp_path / "b" / "compress.onnx").unlink()
    with pytest.raises(ModelDamagedError, match=r"no compress\.onnx"):
        Reranker(tmp_path / "b")
    tiny_reader(tmp_path / "s")
    changed(tmp_path / "s", spans={"scale": 1.0, "shift": 0.0})
    with pytest.raises(ModelDamagedError, match=r"it has no spans\.onnx"):
        Reranker(tmp_path / "s")
    changed(tmp_path / "s", spans={"scale": 0.0, "shift": 0.0})
    with pytest.raises(ModelDamagedError, match=r"spans is \{'scale': 0"):
        Reranker(tmp_path / "s")
    tiny_encoder_with_states(tmp_path / "c" / "encoder")
    changed(tmp_path / "c" / "encoder", states=None)
    tiny_reader(tmp_path / "c", encoder={"folder": "encoder"})
    with pytest.raises(ModelDamagedError, match="no token states"):
        Reranker(tmp_path / "c")


def test_a_reader_has_no_labels(folder: Path) -> None:
    with pytest.raises(InputError, match="label"):
        Reranker(folder, label=0)


def test_what_a_record_is_of(folder: Path, tmp_path: Path) -> None:
    reader = PrecomputedReranker(open_folder(folder))
    (sequence,) = Embedder(folder / "encoder").sequences(["the blue sea"])
    (((position, record),),) = reader.encode_records([sequence])
    assert position == 0
    assert record.codes.shape == (5, CODES)
    assert record.codes.dtype == np.int8
    assert np.abs(record.codes.astype(int)).max(axis=1).tolist() == [127] * 5
    back = Record.from_bytes(record.to_bytes(), codes=CODES, dimension=32)
    for name in ("codes", "scales", "embedding"):
        np.testing.assert_array_equal(getattr(back, name), getattr(record, name))
    assert len(record.to_bytes()) == record.nbytes == 5 * (CODES + 2) + 4 * 32
    with pytest.raises(ValueError, match="not a record"):
        Record.from_bytes(record.to_bytes()[:-1], codes=CODES, dimension=32)
    tiny_reader(tmp_path / "same")
    assert (
        PrecomputedReranker(open_folder(tmp_path / "same")).states_digest
        == reader.states_digest
    )
    tiny_reader(tmp_path / "other", seed=14)
    assert (
        PrecomputedReranker(open_folder(tmp_path / "other")).states_digest
        != reader.states_digest
    )


def test_texts_that_were_never_read_are_tokenized_once(reader: PrecomputedReranker) -> None:
    tokenizer = reader.encoder.tokenizer
    encode, texts = tokenizer.encode, [f"the river {i} and the sea" for i in range(9)]
    seen: list[str] = []

    def counting(some: Sequence[str], limit: int) -> object:
        seen.extend(some)
        return encode(some, limit)

    tokenizer.encode = counting  # type: ignore[method-assign,assignment]
    try:
        reader.rerank("a river", texts)
    finally:
        tokenizer.encode = encode  # type: ignore[method-assign]
    assert [seen.count(text) for text in texts] == [1] * len(texts)
