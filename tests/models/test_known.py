"""The list of known models: complete, checkable, and with a source for every figure."""

from __future__ import annotations

import pytest

from secondpass import InputError, ModelError, Reranker
from secondpass.models.known import (
    ARCHITECTURES,
    RUNS,
    Prompt,
    find_known,
    known_models,
    make_prompt,
)

MODELS = {model.name: model for model in known_models()}


def test_names_are_repositories_and_occur_once() -> None:
    names = [name for m in known_models() for name in (m.name, *m.aliases)]
    assert len(names) == len(set(names))
    assert all(name.count("/") == 1 and name == name.strip() for name in names)
    assert len(MODELS) >= 30


@pytest.mark.parametrize("name", MODELS)
def test_every_row_says_what_a_reader_asks(name: str) -> None:
    model = MODELS[name]
    assert 1_000_000 < model.parameters < 20_000_000_000
    assert model.languages
    assert model.license
    assert model.backbone
    assert 512 <= model.window <= 131_072
    assert model.architecture in ARCHITECTURES
    assert model.runs in RUNS
    assert bool(model.needs) == (model.runs in ("no", "convert"))
    assert model.activation in ("", "identity", "sigmoid")
    assert model.commercial == ("-nc" not in model.license)
    for figure in model.quality:
        assert 0 < figure.value < 100
        assert figure.source.startswith("https://")
        assert figure.measure.startswith("nDCG@10")


@pytest.mark.parametrize("name", MODELS)
def test_language_models_that_run_have_a_prompt_and_others_have_none(name: str) -> None:
    model = MODELS[name]
    generative = model.architecture in ("causal-lm", "seq2seq")
    assert (model.prompt is not None) == (generative and model.runs != "no")
    if model.prompt is None:
        return
    assert model.prompt.choose(model.prompt.instruction)
    # Special tokens are read in parts without a placeholder only.
    for part in model.prompt.parts:
        assert not ("{query}" in part or "{document}" in part) or "<|" not in part


def test_a_model_is_found_by_its_names_and_folders() -> None:
    model = MODELS["Qwen/Qwen3-Reranker-0.6B"]
    for name in (
        "Qwen/Qwen3-Reranker-0.6B",
        "Qwen/Qwen3-Reranker-0.6B@" + "0" * 40,
        "/models/Qwen3-Reranker-0.6B/",
        "./Qwen--Qwen3-Reranker-0.6B",
        "/cache/models--Qwen--Qwen3-Reranker-0.6B/snapshots/0123",
        "C:\\models\\Qwen3-Reranker-0.6B",
    ):
        assert find_known(name) is model
    old = find_known("cross-encoder/ms-marco-MiniLM-L-6-v2")
    assert old is MODELS["cross-encoder/ms-marco-MiniLM-L6-v2"]
    assert find_known("", "somebody/else") is None
    assert find_known("somebody/else", "castorini/monot5-base-msmarco") is not None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"parts": ["{query}"], "positive": "yes"}, "once each"),
        ({"parts": ["{query} {document} {query}"], "positive": "yes"}, "once each"),
        ({"parts": ["{query} {document}"], "positive": ""}, "positive"),
        ({"parts": ["{query} {document}"], "positive": "yes", "answer": "x"}, "wrong fields"),
        ({"positive": "yes"}, "wrong fields"),
        ({"parts": [], "positive": "yes"}, "must have parts"),
    ],
)
def test_prompts_are_checked(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_prompt(fields)


def test_an_instruction_without_a_place_is_refused() -> None:
    prompt = Prompt(("{query}", "{document}"), "yes")
    assert not prompt.takes_instruction
    assert prompt.choose("") == prompt.parts
    with pytest.raises(InputError, match="takes no instruction"):
        prompt.choose("find bread")


def test_what_cannot_be_loaded_is_said_before_anything_is_downloaded() -> None:
    for model in known_models():
        if model.runs == "no":
            with pytest.raises(ModelError, match="needs code of its repository"):
                Reranker(model.name, revision="0" * 40)
