from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from secondpass import InputError, MissingExtraError
from secondpass.evaluate import Collection

HAS_IR_DATASETS = importlib.util.find_spec("ir_datasets") is not None


def folder(tmp_path: Path, queries: list[str], qrels: str) -> Path:
    rows = [json.dumps({"_id": q, "text": f"text of {q}"}) for q in queries]
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    (tmp_path / "qrels" / "test.tsv").write_text(qrels, "utf-8")
    return tmp_path


def test_what_is_left_out_is_counted_and_shown(tmp_path: Path) -> None:
    table = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t0\nq9\td1\t1\nq9\td2\t-1\n"
    found = Collection.read(folder(tmp_path, ["q1", "q2", "q3", "q4", "q5", "q6"], table))
    assert list(found.queries) == ["q1", "q2"]
    notes = "\n".join(found.notes)
    assert "4 queries without judgments left out: 'q3', 'q4', 'q5', …" in notes
    assert "judgments of 1 query without a text left out: 'q9'" in notes
    assert "1 query without a relevant document count as 0: 'q2'" in notes
    assert "1 grades below 0" in notes


def test_ids_that_do_not_match_at_all_are_an_error(tmp_path: Path) -> None:
    where = folder(tmp_path, ["q1"], "1\td1\t1\n")
    with pytest.raises(InputError, match=r"judgments are for '1'; queries are 'q1'"):
        Collection.read(where)


def test_judged_documents_that_the_index_lacks() -> None:
    collection = Collection("c", {"q": "text"}, {"q": {"a": 1, "b": 1, "x": 0}})
    assert collection.checked(["a", "b", "x"], "the index") is collection
    note = collection.checked(["a"], "the index").notes[0]
    assert "2 of 3 judged documents are not in the index (1 of them relevant" in note
    with pytest.raises(InputError, match="none of the 2 relevant documents"):
        collection.checked(["other"], "the index")


@pytest.mark.parametrize("qrels", ["1\td1\t0\n", "1\td1\t-1\n"])
def test_a_collection_without_relevant_documents_is_an_error(
    tmp_path: Path, qrels: str
) -> None:
    with pytest.raises(InputError, match="has a relevant document"):
        Collection.read(folder(tmp_path, ["1"], qrels))


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'secondpass\[datasets\]'"):
        Collection.read("ir_datasets:beir/scifact/test")


@pytest.mark.skipif(not HAS_IR_DATASETS, reason="ir_datasets is not installed")
def test_a_set_of_ir_datasets_is_read(tmp_path: Path) -> None:
    import ir_datasets
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import TrecQrels, TsvQueries
    from ir_datasets.util import LocalDownload

    (tmp_path / "queries.tsv").write_text("1\twhere\n2\twhen\n", "utf-8")
    (tmp_path / "qrels.txt").write_text("1 0 a 2\n1 0 b -1\n", "utf-8")
    queries = TsvQueries(LocalDownload(tmp_path / "queries.tsv"))
    qrels = TrecQrels(LocalDownload(tmp_path / "qrels.txt"), {2: "good", -1: "bad"})
    ir_datasets.registry.register("secondpass-own", Dataset(queries, qrels))
    found = Collection.read("ir_datasets:secondpass-own")
    assert found.queries == {"1": "where"}
    assert found.qrels == {"1": {"a": 2, "b": 0}}
    assert len(found.notes) == 2
    with pytest.raises(InputError, match="has no 'nothing/here'"):
        Collection.read("ir_datasets:nothing/here")
