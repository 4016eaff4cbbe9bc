from __future__ import annotations

import subprocess
import sys

import pytest

import secondpass
from secondpass import errors


def test_every_public_name_is_there_sorted_and_documented() -> None:
    names = [n for n in secondpass.__all__ if n != "__version__"]
    assert names == sorted(names)
    for name in names:
        assert getattr(secondpass, name).__doc__, name
    assert len(names) <= 30


def test_the_names_and_their_homes_agree() -> None:
    assert sorted(secondpass._HOMES) == sorted(
        n for n in secondpass.__all__ if n != "__version__"
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Rerankr"):
        secondpass.Rerankr  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, secondpass\n"
        "heavy = {'numpy', 'onnxruntime', 'tokenizers', 'lancedb', 'pyarrow', 'torch',\n"
        "         'transformers', 'huggingface_hub', 'typer', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


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


def test_a_missing_extra_names_the_line_to_type() -> None:
    error = errors.MissingExtraError("Indexing", package="lancedb", extra="index")
    assert isinstance(error, ImportError)
    assert "pip install 'secondpass[index]'" in str(error)


def test_nearest_names() -> None:
    assert errors.nearest("hybird", ["hybrid", "bm25"]) == "Did you mean 'hybrid'?"
    assert errors.nearest("zzz", ["hybrid", "bm25"]) == "Known names: bm25, hybrid"
    assert errors.nearest("zzz", []) == ""
