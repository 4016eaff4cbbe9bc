from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError, ReadError
from secondpass.train.data.examples import normalize_text
from secondpass.train.data.files import (
    Examples,
    Group,
    read_examples,
    split_groups,
    write_examples,
)

SAMPLE = Path(__file__).parents[2] / "examples" / "wikipedia"
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@st.composite
def many_examples(draw: st.DrawFn) -> Examples:
    passages = draw(st.lists(texts, min_size=1, max_size=8))
    groups = []
    for _ in range(draw(st.integers(1, 5))):
        indices = draw(st.lists(st.integers(0, len(passages) - 1), unique=True, min_size=1))
        cut = draw(st.integers(1, len(indices)))
        floats = st.floats(allow_nan=False, allow_infinity=False)
        scores = draw(
            st.none()
            | st.lists(floats, min_size=len(indices), max_size=len(indices)).map(tuple)
        )
        source = draw(st.just("") | texts)
        query = draw(texts)
        groups.append(Group(query, tuple(indices[:cut]), tuple(indices[cut:]), source, scores))
    return Examples(passages, groups)


def write(file: Path, *rows: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def beir(folder: Path, qrels: str = "query-id\tcorpus-id\tscore\nq\ta\t2\nq\tb\t0\n") -> Path:
    write(
        folder / "corpus.jsonl",
        {"_id": "a", "title": "Tea", "text": "Steep it."},
        {"_id": "b", "title": "", "text": "Grind it."},
        {"_id": "c", "title": "", "text": ""},
        {"_id": "d", "text": "Bake it."},
    )
    write(folder / "queries.jsonl", {"_id": "q", "text": "how is tea made"})
    (folder / "qrels").mkdir()
    (folder / "qrels" / "train.tsv").write_text(qrels, encoding="utf-8")
    return folder


@given(many_examples())
def test_what_is_written_is_read_again(examples: Examples) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_examples(examples, Path(folder, "out"))
        assert read_examples(Path(folder, "out")) == examples


def test_pairs_of_one_query_become_one_group(tmp_path: Path) -> None:
    file = write(
        tmp_path / "pairs.jsonl",
        {"query": "q", "positive": "b", "title": "a", "negatives": ["c", "x"], "source": "s"},
        {"query": "r", "positive": "x", "title": None, "negatives": None},
        {"query": "q", "positive": "c", "negatives": ["a\nb", "x"]},
    )
    examples = read_examples(file)
    assert examples.passages == ["a\nb", "c", "x"]
    assert examples.groups == [Group("q", (0, 1), (2,), "s"), Group("r", (2,), ())]
    zipped = tmp_path / "pairs.jsonl.gz"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    assert read_examples(zipped) == examples


def test_a_collection_in_beir_layout(tmp_path: Path) -> None:
    examples = read_examples(beir(tmp_path / "tea"))
    assert examples.passages == ["Tea\nSteep it.", "Grind it.", "Bake it."]
    assert examples.groups == [Group("how is tea made", (0,), (1,), "tea")]
    sample = read_examples(SAMPLE, split="test")
    assert (len(sample.passages), len(sample.groups)) == (1479, 136)
    with pytest.raises(InputError, match="Did you mean 'test'"):
        read_examples(SAMPLE, split="tset")


def test_halves_of_characters_are_joined_or_replaced(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"query": "q\\ud83d\\ude00", "positive": "p\\udc00"}', encoding="utf-8"
    )
    examples = read_examples(tmp_path / "p.jsonl")
    assert examples.groups[0].query == "q\N{GRINNING FACE}"
    assert examples.passages == ["p\N{REPLACEMENT CHARACTER}"]
    write_examples(Examples(["p\udc00"], [Group("q\udc00", (0,), ())]), tmp_path / "out")
    assert read_examples(tmp_path / "out").passages == examples.passages


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"query": "q"}',
        '{"query": "", "positive": "p"}',
        '{"query": 1, "positive": "p"}',
        '{"query": "q", "positive": " "}',
        '{"query": "q", "positive": null}',
        '{"query": "q", "positive": "p", "title": 3}',
        '{"query": "q", "positive": "p", "negatives": "n"}',
        '{"query": "q", "positive": "p", "negatives": [""]}',
    ],
)
def test_a_pair_that_cannot_be_used_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"query": "q", "positive": "p"}\n\n' + line, encoding="utf-8")
    with pytest.raises(InputError, match=r"pairs\.jsonl, line 3"):
        read_examples(file)


@pytest.mark.parametrize("row", ["q\ta", "q\tz\t1", "p\ta\t1", "q\ta\tyes", "q\ta\tnan"])
def test_a_grade_that_cannot_be_used_is_named(row: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.tsv, line 2"):
        read_examples(beir(tmp_path / "b", f"query-id\tcorpus-id\tscore\n{row}\n"))


@pytest.mark.parametrize(
    "change",
    [
        {"positives": [9]},
        {"positives": [-1]},
        {"positives": []},
        {"positives": ["0"]},
        {"positives": [True]},
        {"negatives": [0]},
        {"negatives": None},
        {"query": " "},
        {"source": 4},
        {"scores": [1.0]},
        {"scores": [1.0, float("nan")]},
        {"scores": [1.0, 10**400]},
    ],
)
def test_a_stored_group_that_cannot_be_used_is_named(
    change: dict[str, Any], tmp_path: Path
) -> None:
    good = {"query": "q", "positives": [0], "negatives": [1]}
    write(tmp_path / "passages.jsonl", {"text": "a"}, {"text": "b"})
    write(tmp_path / "groups.jsonl", good, good | change)
    with pytest.raises(InputError, match=r"groups\.jsonl, line 2"):
        read_examples(tmp_path)


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_examples(tmp_path / "none")
    with pytest.raises(InputError, match=r"has no corpus\.jsonl"):
        read_examples(tmp_path)
    with pytest.raises(InputError, match="no query has a positive"):
        read_examples(write(tmp_path / "empty.jsonl"))
    write(tmp_path / "half" / "groups.jsonl", {})
    with pytest.raises(InputError, match=r"no passages\.jsonl"):
        read_examples(tmp_path / "half")
    (tmp_path / "bad.jsonl.gz").write_bytes(gzip.compress(b"{}" * 99)[:-4])
    with pytest.raises(ReadError, match=r"bad\.jsonl\.gz"):
        read_examples(tmp_path / "bad.jsonl.gz")
    with pytest.raises(InputError, match="no text"):
        Examples([" "], [])


def test_only_examples_are_replaced_and_only_when_forced(tmp_path: Path) -> None:
    one, two = (Examples([t], [Group(t, (0,), ())]) for t in ("one", "two"))
    out = tmp_path / "deep" / "out"
    write_examples(one, out)
    with pytest.raises(InputError, match="not empty"):
        write_examples(two, out)
    assert read_examples(out) == one
    write_examples(two, out, force=True)
    assert read_examples(out) == two
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    with pytest.raises(InputError, match="holds other files"):
        write_examples(one, tmp_path / "precious", force=True)
    with pytest.raises(InputError, match="it is a file"):
        write_examples(one, tmp_path / "precious" / "file", force=True)
    assert [p.name for p in out.parent.iterdir()] == ["out"]


@given(st.lists(texts, min_size=1, max_size=30), st.floats(0, 1), st.integers(0, 9))
def test_no_query_nor_its_near_copy_is_on_both_sides(
    queries: list[str], share: float, seed: int
) -> None:
    spelled = [s for q in queries for s in (q, q.upper(), f" {q}")]
    examples = Examples(["p"], [Group(q, (0,), ()) for q in spelled])
    train, held_out = split_groups(examples, share, seed)
    assert sorted(g.query for g in (*train.groups, *held_out.groups)) == sorted(spelled)
    assert not {normalize_text(g.query) for g in train.groups} & {
        normalize_text(g.query) for g in held_out.groups
    }
    assert split_groups(examples, share, seed) == (train, held_out)


def test_the_share_is_kept_to_and_the_seed_changes_who() -> None:
    examples = Examples(["p"], [Group(f"query {i}", (0,), ()) for i in range(1000)])
    held = [{g.query for g in split_groups(examples, 0.2, seed)[1].groups} for seed in (0, 1)]
    assert all(150 < len(one) < 250 for one in held)
    assert held[0] != held[1]
    assert not split_groups(examples, 0.0, 0)[1].groups
    assert not split_groups(examples, 1.0, 0)[0].groups
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="share"):
            split_groups(examples, share, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [("What is tea?", "what is  TEA"), ("a-b", "a b"), ("Straße!", "STRASSE"), ("¿?", " ¿?")],
)
def test_near_copies_have_the_same_wording(one: str, other: str) -> None:
    assert normalize_text(one) == normalize_text(other)
    assert normalize_text("no tea") != normalize_text("tea")
