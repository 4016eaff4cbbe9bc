"""The option `states`: full, compact or no token states of passages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secondpass import Embedder, Index, InputError, Reranker
from secondpass.errors import IndexStoreError
from secondpass.policies import Cached, PrecomputedMaxSim
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.retrieve.settings import parse_states
from tests.tiny_models import tiny_reader

TEXTS = [
    {"id": f"{colour}-{kind}", "text": f"the {colour} {kind} and the storm. a slow ship"}
    for colour in ("blue", "slow", "new")
    for kind in ("sea", "river", "ship", "bread")
]
QUERY = "when was the storm on the slow river"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reader")
    tiny_reader(path)
    return path


def open_at(path: Path | str, folder: Path, **options: Any) -> Index:
    options = {"reranker": Reranker(folder)} | options
    return Index.open(path, embedder=Embedder(folder / "encoder"), **options)


def scores(index: Index, **options: Any) -> dict[object, float]:
    response = index.search(QUERY, top_k=None, blend=False, **options)
    return {r.id: r.score for r in response.results}


def state_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.glob("states-*"))


def test_the_first_search_and_later_ones_score_alike(tmp_path: Path, folder: Path) -> None:
    with open_at(tmp_path / "none", folder, states="none") as index:
        index.add(TEXTS)
    with open_at(tmp_path / "none", folder, states="compact") as index:
        # Nothing is stored yet, so that this search encodes, and stores.
        assert index.count_unread_windows() == len(TEXTS)
        first = scores(index)
        assert index.count_unread_windows() == 0
    with open_at(tmp_path / "none", folder) as index:
        assert scores(index) == first


def test_an_index_does_not_read_what_another_one_has_in_memory(
    tmp_path: Path, folder: Path
) -> None:
    reranker = Cached(Reranker(folder))
    alone = {}
    for states in ("full", "compact"):
        with open_at(tmp_path / states, folder, states=states) as index:
            index.add(TEXTS)
            alone[states] = scores(index)
    assert alone["full"] != alone["compact"]
    for states in ("full", "compact", "full"):
        with open_at(tmp_path / states, folder, reranker=reranker) as index:
            assert scores(index) == alone[states]


def test_spans_early_exit_and_late_interaction_read_compact_states(
    tmp_path: Path, folder: Path
) -> None:
    with open_at(tmp_path / "i", folder, states="compact") as index:
        index.add(TEXTS)
    with open_at(tmp_path / "i", folder) as index:
        response = index.search(QUERY, spans=True)
        assert all(r.spans is not None for r in response.results)
        query = index.embedder.count_tokens(QUERY) + 2
        assert response.usage.tokens == query
        late = index.search(QUERY, rerank=PrecomputedMaxSim(Reranker(folder)))
        assert late.usage.tokens == query
    with open_at(tmp_path / "e", folder, states="compact") as index:
        index.add([{"text": ""}, {"text": "sea"}, {"title": "", "text": "a" * 3000}])
        assert index.count_unread_windows() == 0
        assert len(scores(index)) == index.count() == 2


def test_full_states_become_compact_without_encoding(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_at(tmp_path / "i", folder) as index:
        index.add(TEXTS)
        before = state_bytes(tmp_path / "i")
    with open_at(tmp_path / "c", folder, states="compact") as index:
        index.add(TEXTS)
        expected = scores(index)
    with open_at(tmp_path / "i", folder, states="compact") as index:
        assert index.count_unread_windows() == len(TEXTS)
        encoded: list[object] = []
        monkeypatch.setattr(
            PrecomputedReranker,
            "encode_records",
            lambda _, windows: encoded.extend(windows) or (),
        )
        index.optimize()
        assert encoded == []
        assert index.count_unread_windows() == 0
        assert len(list((tmp_path / "i").glob("states-*.sqlite"))) == 1
        assert scores(index) == expected
    assert state_bytes(tmp_path / "i") <= before


def test_the_choice_is_remembered_under_both_names(tmp_path: Path, folder: Path) -> None:
    def stored(**options: Any) -> tuple[str, bool]:
        open_at(tmp_path / "i", folder, **options).close()
        settings = json.loads((tmp_path / "i" / "index.json").read_text())
        return settings["states"], settings["keep_states"]

    assert stored() == ("full", True)
    assert stored(states="compact") == ("compact", True)
    assert stored() == ("compact", True)
    assert stored(keep_states=True) == ("compact", True)
    assert stored(keep_states=False) == ("none", False)
    assert stored(keep_states=True) == ("full", True)
    # An older version knows `keep_states` alone.
    settings = json.loads((tmp_path / "i" / "index.json").read_text())
    del settings["states"]
    for keep, states in ((False, "none"), (True, "full")):
        text = json.dumps({**settings, "keep_states": keep})
        (tmp_path / "i" / "index.json").write_text(text)
        with open_at(tmp_path / "i", folder) as index:
            assert index.store.settings.states == states
    (tmp_path / "i" / "index.json").write_text(json.dumps({**settings, "states": "tiny"}))
    with pytest.raises(IndexStoreError, match="newer version"):
        open_at(tmp_path / "i", folder)


def test_options_that_make_no_sense_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="compact"):
        open_at(tmp_path / "i", folder, states="compakt")
    with pytest.raises(InputError, match="contradict"):
        open_at(tmp_path / "i", folder, states="none", keep_states=True)
    assert parse_states("compact", True) == "compact"
    assert parse_states(None, None, "compact") is None


def test_an_index_in_object_storage_publishes_compact_states(
    tmp_path: Path, folder: Path
) -> None:
    url = f"file://{tmp_path / 'remote'}"
    with open_at(url, folder, local_folder=tmp_path / "one", states="compact") as index:
        index.add(TEXTS)
        expected = scores(index)
    with open_at(url, folder, local_folder=tmp_path / "two") as index:
        assert index.count_unread_windows() == 0
        assert scores(index) == expected
    with open_at(url, folder, local_folder=tmp_path / "two", states="none") as index:
        assert index.store.settings.states == "none"
