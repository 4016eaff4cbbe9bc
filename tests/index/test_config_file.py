from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import InputError, SecondpassError
from secondpass.index.config_file import Configuration

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
weight = st.floats(0, 10) | st.integers(0, 3)
search = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(["hybrid", "bm25", "vector"]),
        "candidates": st.integers(1, 1000),
        "fusion": st.sampled_from(["rrf", "weighted", "dbsf"]),
        "weights": st.tuples(weight, weight).filter(any).map(list),
        "rerank": st.just(True) | text,
        "cascade": st.booleans(),
        "min_probability": st.floats(0, 1),
        "blend": st.booleans() | st.fixed_dictionaries({"rerank": st.floats(0.1, 1)}),
        "min_score": st.floats(allow_nan=False, allow_infinity=False),
    },
)


@given(search, st.dictionaries(st.sampled_from(["collection", "note"]), text))
def test_what_is_read_is_what_was_written(
    found: dict[str, object], measured: dict[str, object]
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "search.toml"
        Configuration(found, measured).write(path, note="two\nlines")
        if not found:
            with pytest.raises(InputError, match=r"no table \[search\]"):
                Configuration.read(path)
            return
        assert Configuration.read(path) == Configuration(found, measured)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('[search]\nmod = "bm25"', "no setting 'mod'.*Did you mean 'mode'"),
        ('[search]\nmode = "bm52"', "mode cannot be 'bm52'.*'bm25'"),
        ("[search]\ncandidates = 0", "whole number from 1 up"),
        ("[search]\ncandidates = true", "whole number from 1 up"),
        ("[search]\nweights = [0, 0]", "not both 0"),
        ("[search]\nweights = [1]", "two numbers"),
        ("[search]\nblend = { rerank = 1, cosine = 1 }", "no score 'cosine' to blend"),
        ("[search]\nrerank = 5", "the name of a model"),
        ('[search]\nfusion = "rff"', "'rrf'"),
        ("[search]\nmin_score = nan", "finite"),
        ("[storage]\nregion = []", "setting region of the storage cannot be a list"),
        ("[serch]\ncandidates = 5", r"no table \[serch\].*'search'"),
        ("search = 1", r"no table \[search\]"),
        ("[search", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "search.toml"
    path.write_text(lines, "utf-8")
    with pytest.raises(SecondpassError, match=message) as caught:
        Configuration.read(path)
    assert "search.toml" in str(caught.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SecondpassError, match="cannot be read"):
        Configuration.read(tmp_path / "none.toml")


def test_settings_of_the_storage_are_read_and_written(tmp_path: Path) -> None:
    storage = {"endpoint": "https://minio.internal:9000", "allow_http": False}
    source = {"index": "s3://bucket/docs"}
    path = tmp_path / "search.toml"
    Configuration({}, source=source, storage=storage).write(path)
    assert Configuration.read(path) == Configuration({}, source=source, storage=storage)
