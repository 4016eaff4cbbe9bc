"""The scorers of sentences and of documents: graphs, start, and what they learn."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the group test is not installed")

import onnx_ir as ir  # noqa: E402

from secondpass import InputError, ModelError  # noqa: E402
from secondpass.inference.runtimes.onnxruntime import OnnxRuntime  # noqa: E402
from secondpass.inference.token_encoder import Encoded  # noqa: E402
from secondpass.models import bundled_path  # noqa: E402
from secondpass.registry import load_reranker  # noqa: E402
from secondpass.rerank.precomputed import PrecomputedReranker  # noqa: E402
from secondpass.rerank.precomputed.scoring import EncodedQuery  # noqa: E402
from secondpass.rerank.precomputed.sentences import (  # noqa: E402
    SentenceSlice,
    score_in_windows,
)
from secondpass.rerank.precomputed.types import Record  # noqa: E402
from secondpass.rerank.scoring_options import ScoringOptions  # noqa: E402
from secondpass.train.export.graph_join import remove_joined  # noqa: E402
from secondpass.train.precomputed.answer_graphs import (  # noqa: E402
    PREFIX,
    add_answers,
    sentence_graph,
)
from secondpass.train.precomputed.answer_learner import (  # noqa: E402
    SpanExample,
    SpanSettings,
    measure_scorer,
    read_labeled,
    score_sentences,
    score_texts,
    split_examples,
    train_scorer,
)
from secondpass.train.precomputed.answer_scorer import AnswerScorer  # noqa: E402
from secondpass.train.precomputed.module import PrecomputedConfig, PrecomputedModule  # noqa: E402
from secondpass.train.precomputed.onnx_graphs import score_graph  # noqa: E402
from secondpass.train.precomputed.sentence_scorer import (  # noqa: E402
    SentenceScorer,
    pool_sentences,
)
from secondpass.train.precomputed.token_scorer import (  # noqa: E402
    TokenScorerConfig,
    read_axes,
)

normalize = torch.nn.functional.normalize
SMALL = TokenScorerConfig(width=8, hidden=6, codes=5, matching=4, summary=3, units=7, reach=3)
BUNDLED = TokenScorerConfig(width=768, hidden=384, codes=128, matching=128)


def example(rng: np.random.Generator, *, marked: bool, group: str = "a") -> SpanExample:
    """Return three sentences; where marked, only the answer has a token of high first code."""
    lengths = rng.integers(4, 9, 3)
    codes = rng.integers(-40, 40, (int(lengths.sum()) + 2, 5)).astype(np.int8)
    codes[:, 0] = -np.abs(codes[:, 0])
    ends = (1 + lengths.cumsum()).tolist()
    places = tuple(zip([1, *ends[:-1]], ends, strict=True))
    place = int(rng.integers(3))
    if marked:
        codes[places[place][0] + 2] = (120, 0, 0, 0, 0)
    right = tuple(i == place for i in range(3))
    states = rng.normal(size=(rng.integers(4, 7), 8)).astype(np.float16)
    embedding = rng.normal(size=6).astype(np.float32)
    return SpanExample(states, embedding, codes, places, right, group)


def random_scorer() -> SentenceScorer:
    torch.manual_seed(0)
    scorer = SentenceScorer(SMALL).eval()
    torch.nn.init.normal_(scorer.answer.weight)
    torch.nn.init.normal_(scorer.word_weight[2].weight)
    return scorer


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=8))
def test_the_graph_scores_sentences_as_the_module_whatever_is_beside(seeds: list[int]) -> None:
    scorer, graph = random_scorer(), random_graph()
    # All of one query.
    query = example(np.random.default_rng(0), marked=True)
    asked = {"query_states": query.query_states, "query_embedding": query.query_embedding}
    windows = [
        replace(example(np.random.default_rng(seed), marked=True), **asked) for seed in seeds
    ]
    with torch.no_grad():
        expected = [score_sentences(scorer, [one])[0][0].tolist() for one in windows]
    records = {
        bytes([i]): Record(one.codes, np.ones(len(one.codes), np.float16), np.zeros(6))
        for i, one in enumerate(windows)
    }
    slices: list[SentenceSlice | None] = [
        SentenceSlice(bytes([i]), start, end)
        for i, one in enumerate(windows)
        for start, end in one.sentences
    ]
    slices.insert(1, None)
    encoded = Encoded(query.query_embedding, query.query_states.astype(np.float32))
    found = score_in_windows(
        graph,
        EncodedQuery(encoded, len(query.query_states)),
        slices,
        lambda keys: {key: records[key] for key in keys},
        longest=512,
    )
    assert found.pop(1) is None
    assert found == pytest.approx([score for of in expected for score in of], abs=1e-4)


@cache
def random_graph() -> OnnxRuntime:
    with TemporaryDirectory() as folder:
        ir.save(sentence_graph(random_scorer()), f"{folder}/spans.onnx")
        return OnnxRuntime(Path(folder) / "spans.onnx", threads=1)


def test_the_scoring_graph_adds_the_scores_of_windows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = PrecomputedConfig(
        hidden=8, heads=2, intermediate=16, layers=1, codes=5, width=8, matching=4
    )
    shapes = TokenScorerConfig(width=8, hidden=8, codes=5, matching=4, units=6, reach=3)
    reranker, scorers = PrecomputedModule(config).eval(), []
    for _ in range(2):
        scorer = AnswerScorer(shapes).eval()
        torch.nn.init.normal_(scorer.answer.weight)
        scorer.match_query.load_state_dict(reranker.match_query.state_dict())
        scorer.turn.load_state_dict(reranker.match_document.state_dict())
        scorers.append(scorer)
    rng = np.random.default_rng(0)
    mask = np.ones((3, 9), np.int64)
    mask[1, 6:] = 0
    inputs = {
        "query_states": rng.normal(size=(1, 5, 8)).astype(np.float32),
        "query_embedding": rng.normal(size=(1, 8)).astype(np.float32),
        "document_codes": rng.integers(-90, 90, (3, 9, 5)).astype(np.int8),
        "document_scales": np.ones((3, 9), np.float32),
        "document_mask": mask,
        "document_embeddings": rng.normal(size=(3, 8)).astype(np.float32),
    }

    def scores(model: ir.Model) -> np.ndarray:
        ir.save(model, str(tmp_path / "model.onnx"))
        graph = OnnxRuntime(tmp_path / "model.onnx", threads=1)
        return graph.run_named(inputs, ["scores"])["scores"]

    model = score_graph(reranker)
    read, nodes = scores(model), len(model.graph)
    for scorer, power in zip(scorers, (0.5, 1.0), strict=True):
        # The second takes the place of the first.
        add_answers(model, scorer, 0.7, power)
        with torch.no_grad():
            tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
            codes, shown = tensors["document_codes"].float(), tensors["document_mask"].float()
            query = normalize(scorer.match_query(tensors["query_states"]), dim=-1)
            added = scorer.score(
                tensors["query_states"],
                torch.ones(1, 5),
                tensors["query_embedding"],
                query,
                normalize(scorer.turn(codes), dim=-1),
                shown,
                length_power=power,
            )
        assert scores(model) == pytest.approx(read + 0.7 * added.numpy(), abs=1e-3)
    remove_joined(model, PREFIX)
    assert len(model.graph) == nodes
    assert scores(model) == pytest.approx(read, abs=1e-6)


def test_a_scoring_graph_without_a_comparison_of_words_is_refused() -> None:
    config = PrecomputedConfig(hidden=8, heads=2, intermediate=16, layers=1, codes=5, width=8)
    with pytest.raises(ModelError, match="compares no words with tokens"):
        add_answers(score_graph(PrecomputedModule(config)), AnswerScorer(SMALL), 1.0, 0.5)


def test_it_starts_with_the_order_of_the_early_score() -> None:
    start = bundled_path("bundled") / "start.onnx"
    scorer = AnswerScorer(BUNDLED).eval()
    scorer.use_axes(read_axes(start))
    rng = np.random.default_rng(1)
    states = rng.normal(size=(1, 9, 768)).astype(np.float32)
    codes = rng.integers(-127, 128, (12, 10, 128)).astype(np.int8)
    mask, embeddings = np.ones((12, 10), np.int64), np.zeros((12, 384), np.float32)
    early = OnnxRuntime(start, threads=1).run_named(
        {
            "query_states": states,
            "query_embedding": embeddings[:1],
            "document_codes": codes,
            "document_mask": mask,
            "document_embeddings": embeddings,
        },
        ["scores"],
    )["scores"]
    with torch.no_grad():
        found = scorer(
            torch.from_numpy(states),
            torch.ones(1, 9),
            torch.zeros(1, 384),
            torch.from_numpy(codes).float(),
            torch.from_numpy(mask).float(),
        ).numpy()
        sentences = SentenceScorer(BUNDLED).eval()
        sentences.use_axes(read_axes(start))
        tokens = sentences(
            torch.from_numpy(states),
            torch.ones(1, 9),
            torch.zeros(1, 384),
            torch.from_numpy(codes).float(),
            torch.from_numpy(mask).float(),
        )
        pooled = pool_sentences(tokens, torch.from_numpy(mask).float()[:, None])[:, 0].numpy()
    assert np.corrcoef(early, found)[0, 1] > 0.999
    assert np.corrcoef(early, pooled)[0, 1] > 0.999


def test_a_graph_without_these_axes_is_refused() -> None:
    with pytest.raises(ModelError, match="no axes in which query and document"):
        read_axes(bundled_path("bundled") / "compress.onnx")


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (partial(SentenceScorer, SMALL, dropout=0.0), score_sentences),
        (partial(AnswerScorer, SMALL, dropout=0.0), score_texts),
    ],
)
def test_it_learns_which_tokens_answer(
    make: Callable[[], Any], how: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(2)
    torch.manual_seed(0)
    used = [example(rng, marked=True) for _ in range(120)]
    held_out = [example(rng, marked=True) for _ in range(60)]
    scorer = make()
    before = measure_scorer(partial(how, scorer), held_out, 2.0)
    settings = SpanSettings(epochs=30, batch=20, learning_rate=2e-2, warm_up=5)
    loss = train_scorer(scorer, partial(how, scorer), used, settings)
    after = measure_scorer(partial(how, scorer), held_out, 2.0)
    assert before.first_answers < 0.7 < 0.9 < after.first_answers
    assert loss < 0.5
    # Calibrated: what is nearly always right is sure of it, and what cannot know is not.
    unmarked = [example(rng, marked=False) for _ in range(60)]
    chance = measure_scorer(partial(how, make()), unmarked, 2.0)
    assert chance.scale < 0.3 < after.scale


def test_titles_are_held_out_whole() -> None:
    rng = np.random.default_rng(3)
    examples = [example(rng, marked=True, group=str(i % 5)) for i in range(20)]
    used, held_out = split_examples(examples, 0.2, seed=0)
    assert len(held_out) == 4
    assert {e.group for e in used}.isdisjoint({e.group for e in held_out})
    with pytest.raises(InputError, match="one title"):
        split_examples(examples[::5], 0.2, seed=0)


@pytest.mark.parametrize("answers", [[], [2], [-1], [True], "0", None])
def test_answers_must_be_sentences_of_the_text(tmp_path: Path, answers: object) -> None:
    file = tmp_path / "examples.jsonl"
    right = {
        "query": "Where?",
        "title": "T",
        "text": "It was here. It is gone.",
        "answers": [0, 1],
    }
    file.write_text(f"{json.dumps(right)}\n{json.dumps({**right, 'answers': answers})}\n")
    with pytest.raises(InputError, match=r"line 2.*'answers' is .* from 0 to 1"):
        read_labeled(file)
    file.write_text(json.dumps(right))
    assert read_labeled(file)[0].answers == (0, 1)


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        (
            "When did the plague reach Europe?",
            "The plague came to Europe in 1347.",
            "The plague came to Europe on ships of traders.",
        ),
        (
            "Who wrote Middlemarch?",
            "Middlemarch was written by George Eliot.",
            "Middlemarch was written as a study of a small town.",
        ),
        (
            "Where was Tesla born?",
            "Tesla was born in Smiljan, a village in Croatia.",
            "Tesla was born during a storm, his family said.",
        ),
        (
            "How many people live in Oslo?",
            "About 700,000 people live in Oslo.",
            "Many people live in Oslo and work elsewhere.",
        ),
    ],
)
def test_the_bundled_reranker_lifts_what_answers(
    tmp_path: Path, query: str, right: str, wrong: str
) -> None:
    reranker = load_reranker("bundled")
    assert isinstance(reranker, PrecomputedReranker)
    model = ir.load(str(bundled_path("bundled") / "model.onnx"))
    remove_joined(model, PREFIX)
    ir.save(model, str(tmp_path / "model.onnx"))
    texts = [("", right), ("", wrong)]
    scorer = reranker.window_scorer(query, texts, ScoringOptions())
    leads = []
    for file in (bundled_path("bundled") / "model.onnx", tmp_path / "model.onnx"):
        scores = scorer.score(OnnxRuntime(file, threads=1), texts)
        leads.append(scores[texts[0]][0] - scores[texts[1]][0])
    assert leads[0] > leads[1] + 0.2
