"""Each option is declared once: every interface offers what the declaration says."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

from secondpass.cli.app import app
from secondpass.index.config_file import Configuration
from secondpass.index.index import Index
from secondpass.option_types import Option, declared, offered
from secondpass.option_values import BLENDED
from secondpass.options import (
    FUSIONS,
    OnFailure,
    PolicyOptions,
    RerankOptions,
    SearchOptions,
)
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS
from secondpass.retrieve.fusion import METHODS

OPTIONS = declared(SearchOptions)
# An example of the JSON and TOML form of each option that is not its default.
EXAMPLES: dict[str, Any] = {
    "group_by": "document",
    "group_size": 2,
    "hide": ["d1"],
    "boost": ["year >= 2024: +0.3", {"function": "log", "field": "n", "weight": 0.5}],
    "diversity": 0.3,
    "pin": ["d2", "d3#1"],
    "mode": "bm25",
    "candidates": 7,
    "filter": "year >= 2015",
    "fusion": "dbsf",
    "weights": [0.25, 0.75],
    "version": 3,
    "query_variants": ["tide, moon"],
    "variant_scores": "max",
    "like": ["a"],
    "unlike": ["b, c"],
    "feedback": 3,
    "adaptive": True,
    "top_k": 2,
    "rerank": "bundled-tiny",
    "blend": {"rerank": 0.5, "bm25": 1},
    "min_score": 0.0,
    "min_probability": 0.5,
    "fields": ["title", "text"],
    "template": "{title}: {text}",
    "max_length": 128,
    "passages": "mean",
    "max_tokens_per_doc": 64,
    "max_query_tokens": 32,
    "budget_tokens": 5000,
    "truncate": False,
    "spans": {"threshold": 0.25, "max_spans": 2, "max_results": 4},
    "instructions": "prefer recent documents",
    "on_unsupported": "ignore",
    "return_documents": False,
    "early_exit_at": 7,
    "cascade": True,
    "rescore": "bundled-tiny",
    "rescore_window": 10,
    "rescore_weight": 0.25,
    "budget_ms": 80.5,
    "cache": True,
    "early_exit": True,
    "precision": "int8",
    "calibration_pairs": "pairs.jsonl",
    "calibration": "calibration.json",
    "chain": ["bundled-tiny"],
    "on_failure": "fallback",
    "timeout": 1.5,
}


def test_there_is_an_example_of_every_option() -> None:
    assert EXAMPLES.keys() == OPTIONS.keys()


@pytest.mark.parametrize("name", OPTIONS)
def test_the_library_names_every_option(name: str) -> None:
    parameter = inspect.signature(Index.search).parameters[name]
    assert parameter.default == OPTIONS[name].default
    assert f"- `{name}`: " in (Index.search.__doc__ or "")


def test_reranking_alone_has_the_options_that_are_declared_for_it() -> None:
    parameters = inspect.signature(BaseReranker.rerank).parameters
    known = declared(RerankOptions)
    assert [n for n in parameters if n not in ("self", "query", "documents")] == [
        "top_k",
        *(name for name in known if name != "top_k"),
    ]
    assert {n: parameters[n].default for n in known} == {n: o.default for n, o in known.items()}


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("search", declared(SearchOptions)),
        ("rerank", {**declared(RerankOptions), **declared(PolicyOptions)}),
    ],
)
def test_commands_offer_every_option_but_those_that_say_why_not(
    command: str, options: dict[str, Option]
) -> None:
    group: Any = typer.main.get_command(app)
    parameters = {p.name: p for p in group.commands[command].params}
    for name, option in options.items():
        if reason := option.absent.get("cli"):
            assert name not in parameters, reason
            continue
        assert parameters[name].help == option.help
        spelled = {*parameters[name].opts, *parameters[name].secondary_opts}
        expected = {part for flag in option.flags for part in flag.split("/")}
        assert spelled == (expected or {"--" + name.replace("_", "-")})


@pytest.mark.parametrize("name", offered(SearchOptions, "config"))
def test_a_configuration_file_holds_every_option(name: str, tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    Configuration({name: EXAMPLES[name]}).write(path)
    assert tomllib.loads(path.read_text("utf-8")) == {"search": {name: EXAMPLES[name]}}
    read = Configuration.read(path).search[name]
    is_path = name in ("calibration", "calibration_pairs")
    assert read == (str(tmp_path / EXAMPLES[name]) if is_path else EXAMPLES[name])


def test_words_are_those_that_the_code_knows() -> None:
    assert tuple(METHODS) == FUSIONS
    assert set(DEFAULT_WEIGHTS) <= set(BLENDED)
    assert OPTIONS["on_failure"].kind.schema["enum"] == list(get_args(OnFailure))


@pytest.mark.parametrize("name", OPTIONS)
def test_examples_and_defaults_pass_and_other_types_do_not(name: str) -> None:
    option = OPTIONS[name]
    assert option.problem(EXAMPLES[name]) is None
    if option.default != ():
        assert option.problem(option.default) is None
    assert option.problem(object())


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


@given(st.sampled_from(sorted(OPTIONS)), _json)
def test_no_value_breaks_a_check(name: str, value: object) -> None:
    problem = OPTIONS[name].problem(value)
    assert problem is None or problem
