"""Reading by name, with a set of our own in the catalogue; nothing is fetched."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from secondpass import InputError, MissingExtraError
from secondpass.evaluate import Collection

PRESENT = importlib.util.find_spec("ir_datasets") is not None


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'secondpass\[datasets\]'"):
        Collection.read("ir_datasets:beir/scifact/test")


@pytest.mark.skipif(not PRESENT, reason="ir_datasets is not installed")
def test_a_set_of_the_catalogue_is_read(tmp_path: Path) -> None:
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
