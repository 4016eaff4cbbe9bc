"""The public namespaces: their names, lazy imports, deprecated names and errors."""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from importlib import import_module
from types import ModuleType

import pytest

import secondpass
from secondpass import errors

# A change of these lists is a change of the public interface: it goes into the changelog.
PUBLIC_NAMES = {
    "secondpass": """
        BaseReranker Candidate Document Embedder FilterError FirstStageScores Index
        IndexNotFoundError IndexStoreError InputError LLMError MissingExtraError
        ModelDamagedError ModelError ModelNotFoundError Origin PassageAggregation ProviderError
        ProviderTimeoutError RankedDocument ReadError RerankResponse Reranker RetrieverError
        Score ScoreKind Scored ScoringOptions Search SecondpassError Span Spans Status
        TextTooLongError Usage __version__
    """,
    "secondpass.policies": """
        Blend Boost Budgeted Cached Calibrated Cascade EarlyStopping Ensemble Fallback
        HostedReranker PrecomputedMaxSim Listwise MMR Pairwise Pinned Pointwise Recency Rescored
        Setwise compose fit_margin
    """,
    "secondpass.providers": """
        Bedrock Cloudflare Cohere Completion Infinity LLM Prompt PromptTemplate Provider
        RetryPolicy TEI Vertex
        load_llm
    """,
    "secondpass.answer": """
        Answer AnswerStatus AnswerStream Citation Passage Turn answer stream_answer
    """,
    "secondpass.explain": "Explanation explain explain_text",
    "secondpass.evaluate": """
        Collection Comparison Evaluation GradeFile Labelling Run Study Tuned agreement compare
        evaluate judge_all pool read_qrels run_study search_all tune
    """,
    "secondpass.train": """
        Examples Group MineSettings RunLocation TrainSettings mine read_examples split_groups
        train write_examples
    """,
    "secondpass.testing": "OverlapLLM ScriptedLLM ScriptedReranker",
}

HEAVY = {
    *("fastapi", "huggingface_hub", "httpx2", "ir_measures", "lancedb", "numpy", "onnxruntime"),
    *("pyarrow", "pydantic", "rich", "scipy", "tokenizers", "torch", "transformers", "typer"),
}


@pytest.mark.parametrize("namespace", PUBLIC_NAMES)
def test_public_names(namespace: str) -> None:
    module = import_module(namespace)
    names = PUBLIC_NAMES[namespace].split()
    assert sorted(module.__all__) == sorted(names)
    for name in names:
        value = getattr(module, name)
        assert not isinstance(value, ModuleType), f"{namespace}.{name} is hidden by a submodule"
        if not name.startswith("__"):
            assert value.__name__ == name
            assert inspect.getdoc(value), name


@pytest.mark.parametrize("namespace", PUBLIC_NAMES)
def test_dir_lists_public_names(namespace: str) -> None:
    module = import_module(namespace)
    assert set(module.__all__) <= set(dir(module))


def test_every_error_class_is_public() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.SecondpassError)
    }
    assert classes <= set(secondpass.__all__)


@pytest.mark.parametrize(
    "namespace",
    [
        "secondpass",
        "secondpass.policies",
        "secondpass.providers",
        "secondpass.evaluate",
        "secondpass.train",
    ],
)
def test_unknown_name_is_attribute_error(namespace: str) -> None:
    with pytest.raises(AttributeError, match="Rerankr"):
        getattr(import_module(namespace), "Rerankr")  # noqa: B009


@pytest.mark.parametrize(
    "namespace",
    [
        "secondpass",
        "secondpass.policies",
        "secondpass.providers",
        "secondpass.evaluate",
        "secondpass.train",
        "secondpass.testing",
        "secondpass.integrations",
    ],
)
def test_import_loads_nothing_heavy(namespace: str) -> None:
    code = f"import sys, {namespace}\nprint(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name", ["policies", "providers", "evaluate", "train", "testing", "integrations"]
)
def test_namespaces_are_attributes_of_the_package(name: str) -> None:
    code = f"import secondpass\nprint(secondpass.{name}.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"secondpass.{name}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Adaptive", "secondpass.policies.EarlyStopping"),
        ("Blend", "secondpass.policies.Blend"),
        ("Budgeted", "secondpass.policies.Budgeted"),
        ("Cached", "secondpass.policies.Cached"),
        ("Calibrated", "secondpass.policies.Calibrated"),
        ("Cascade", "secondpass.policies.Cascade"),
        ("Fallback", "secondpass.policies.Fallback"),
        ("Hosted", "secondpass.policies.HostedReranker"),
        ("Passages", "secondpass.PassageAggregation"),
    ],
)
def test_deprecated_name_warns_and_names_the_new_one(old: str, new: str) -> None:
    module, _, name = new.rpartition(".")
    with pytest.warns(DeprecationWarning, match=rf"secondpass\.{old} .*use {new}$") as caught:
        value = getattr(secondpass, old)
    assert value is getattr(import_module(module), name)
    assert caught[0].filename == __file__
    assert old not in secondpass.__all__
    # The second access warns too: the value is not stored in the package.
    with pytest.warns(DeprecationWarning, match=old):
        getattr(secondpass, old)


def test_importing_a_deprecated_name_points_at_the_import() -> None:
    code = "from secondpass import Blend\nprint(Blend.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "secondpass.rerank.policies.blend"
    assert "<string>:1: DeprecationWarning" in done.stderr


def test_current_names_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for namespace, names in PUBLIC_NAMES.items():
            for name in names.split():
                getattr(import_module(namespace), name)


def test_errors_say_what_where_why_and_what_next() -> None:
    error = errors.SecondpassError("It broke", where="here", why="of age", fix="Mend it.")
    assert str(error) == "It broke (here): of age. Mend it."
    assert (error.what, error.where, error.why, error.fix) == (
        "It broke",
        "here",
        "of age",
        "Mend it.",
    )
    assert isinstance(errors.InputError("x"), ValueError)
    assert isinstance(errors.ModelNotFoundError("x"), LookupError)


def test_missing_extra_names_the_line_to_type() -> None:
    error = errors.MissingExtraError("Indexing", package="lancedb", extra="index")
    assert isinstance(error, ImportError)
    assert "pip install 'secondpass[index]'" in str(error)


def test_nearest_names() -> None:
    assert errors.nearest("hybird", ["hybrid", "bm25"]) == "Did you mean 'hybrid'?"
    assert errors.nearest("zzz", ["hybrid", "bm25"]) == "Known names: bm25, hybrid"
    assert errors.nearest("zzz", []) == ""
