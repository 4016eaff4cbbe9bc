"""Index: first stage and reranking together, on a small index with the bundled models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from secondpass import (
    BaseReranker,
    Document,
    Embedder,
    FilterError,
    Index,
    IndexNotFoundError,
    InputError,
    Reranker,
    ScoreKind,
    Status,
    TextTooLongError,
)
from secondpass.policies import Blend, Cascade, Rescored
from secondpass.rerank.precomputed.removal import KeySet
from secondpass.rerank.precomputed.segments import Segmenter
from secondpass.rerank.precomputed.types import record_key
from secondpass.rerank.score import Scored

SAMPLE = Path(__file__).parents[2] / "examples" / "wikipedia"
QUERY = "When did the oil crisis begin?"


def sample(count: int) -> list[dict[str, object]]:
    with (SAMPLE / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
    return [{**row, "year": 1970 + i, "even": i % 2 == 0} for i, row in enumerate(rows)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.open(tmp_path_factory.mktemp("index") / "i") as opened:
        assert opened.add(sample(40)) == 40
        yield opened


def test_a_search_is_retrieved_then_reranked(index: Index) -> None:
    response = index.search(QUERY, candidates=20, top_k=5)
    assert response.status is Status.RERANKED
    assert response.model == "bundled"
    assert [r.rank for r in response.results] == [1, 2, 3, 4, 5]
    scores = [r.score for r in response.results]
    assert scores == sorted(scores, reverse=True)
    assert {r.score_kind for r in response.results} == {ScoreKind.RANK}
    assert response.results[0].id == "1973-oil-crisis-01"
    for result in response.results:
        assert 1 <= result.first_stage_rank <= 20
        assert result.first_stage.bm25 is not None
        assert result.first_stage.vector is not None
        assert set(result.parts) == {"rerank", "vector", "bm25", "rescore"}
        assert result.score == pytest.approx(sum(result.parts.values()))
    assert {"embed", "bm25", "vector", "fusion", "rerank", "total"} <= set(response.timings)
    assert response.usage.documents == 20


def test_rescoring_is_the_one_that_is_put_together_by_hand(index: Index) -> None:
    found = index.search(QUERY, candidates=30, rescore="bundled-full", rescore_window=10)
    rescored = Rescored(Blend(index.reranker()), Reranker("bundled-full"), window=10)
    by_hand = index.search(QUERY, candidates=30, rerank=rescored, blend=False)
    assert [(r.id, r.score) for r in found.results] == [
        (r.id, r.score) for r in by_hand.results
    ]
    assert any(r.parts["rescore"] > 0 for r in found.results)


def test_a_cascade_is_the_one_that_is_put_together_by_hand(index: Index) -> None:
    found = index.search(QUERY, candidates=30, cascade=True)
    cascade = Cascade(index.reranker("bundled-tiny"), index.reranker())
    by_hand = index.search(QUERY, candidates=30, rerank=cascade)
    assert found.results == by_hand.results
    assert found.usage.scored == by_hand.usage.scored < 30
    with pytest.raises(InputError, match="for the second pass"):
        index.search(QUERY, cascade=True, rerank=False)


@pytest.mark.parametrize("mode", ["bm25", "vector", "hybrid"])
def test_the_first_stage_alone(index: Index, mode: str) -> None:
    response = index.search(QUERY, mode=mode, rerank=False, top_k=3)
    assert response.status is Status.SKIPPED
    assert response.reason
    assert response.model is None
    assert [r.first_stage_rank for r in response.results] == [1, 2, 3]
    assert [r.score for r in response.results] == [
        r.first_stage.score for r in response.results
    ]
    assert "rerank" not in response.timings


def test_the_reranker_sees_the_first_stage_order(index: Index) -> None:
    before = index.search(QUERY, rerank=False, candidates=10, top_k=None)
    after = index.search(QUERY, candidates=10, top_k=None)
    assert sorted(r.id or "" for r in before.results) == sorted(
        r.id or "" for r in after.results
    )
    ranks = {r.id: r.rank for r in before.results}
    assert all(r.first_stage_rank == ranks[r.id] for r in after.results)


def test_blending_can_be_switched_off_and_weighted(index: Index) -> None:
    alone = index.search(QUERY, blend=False, candidates=10)
    assert {r.score_kind for r in alone.results} == {ScoreKind.LOGIT}
    reranker = Reranker()
    same = index.search(QUERY, rerank=reranker, blend={"rerank": 1.0}, candidates=10)
    assert [r.id for r in same.results] == [r.id for r in alone.results]
    wrapped = index.search(QUERY, rerank=Blend(reranker), blend=False, candidates=10)
    default = index.search(QUERY, candidates=10, rescore="none")
    assert wrapped.results == default.results


def test_neighbors_are_compared_by_the_stored_vectors(index: Index) -> None:
    weights = {"rerank": 1.0, "bm25": 0.3, "neighbors": 0.4}
    response = index.search(QUERY, blend=weights, candidates=10, rescore="none")
    assert response.reason is None
    for result in response.results:
        assert set(result.parts) == set(weights)
        assert result.score == pytest.approx(sum(result.parts.values()))


def test_filters_apply_before_the_limit(index: Index) -> None:
    response = index.search(QUERY, filter="year >= 2000 AND even = true", candidates=5)
    assert len(response.results) == 5
    for result in response.results:
        assert result.document is not None
        assert result.document.metadata["year"] >= 2000
        assert result.document.metadata["even"] is True
    with pytest.raises(FilterError, match="Did you mean 'year'"):
        index.search(QUERY, filter="yaer > 3")


@pytest.mark.parametrize("options", [{}, {"rerank": False}, {"mode": "vector"}])
def test_a_long_query_is_searched_and_what_is_left_out_is_said(
    index: Index, options: dict[str, Any]
) -> None:
    query = f"{QUERY} {'I thank you for your letter of last week. ' * 200} {QUERY}"
    response = index.search(query, candidates=10, **options)
    assert str(response.results[0].id).startswith("1973-oil-crisis-")
    assert 0 < response.query_unread < len(query)
    assert str(response.query_unread) in response.warnings[0]
    with pytest.raises(TextTooLongError):
        index.search(query, candidates=10, truncate=False, **options)


def test_keyword_search_reads_all_of_a_query(index: Index) -> None:
    query = f"{'I thank you for your letter. ' * 200} {QUERY} {'And so on. ' * 200}"
    response = index.search(query, mode="bm25", rerank=False, truncate=False)
    assert response.results
    assert response.query_unread == 0


def test_nothing_found_is_said(index: Index) -> None:
    response = index.search(QUERY, filter="year > 9999")
    assert response.results == ()
    assert response.status is Status.SKIPPED
    assert response.reason == "the first stage found nothing"


async def test_async_equals_sync(index: Index) -> None:
    found = await index.asearch(QUERY, mode="bm25", candidates=8, top_k=2, min_score=-99.0)
    assert (
        found.results
        == index.search(QUERY, mode="bm25", candidates=8, top_k=2, min_score=-99.0).results
    )
    assert await index.acount() == index.count()


def test_threads_agree(index: Index) -> None:
    queries = ["oil prices", "embargo", QUERY, "Japan and the crisis"] * 2
    expected = [index.search(q, candidates=5).results for q in queries]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda q: index.search(q, candidates=5).results, queries)
        assert list(found) == expected


async def test_adding_twice_deleting_and_counting(tmp_path: Path) -> None:
    with Index.open(tmp_path / "i") as index:
        assert index.count() == 0
        assert index.search("anything").results == ()
        await index.aadd([Document("bread and water", id="a"), {"id": "b", "text": "the sea"}])
        index.add([{"id": "a", "text": "a ship on the sea"}, "no id of its own"])
        index.add(["no id of its own"])
        assert index.count() == 3
        best = index.search("ship", mode="bm25", rerank=False).results[0]
        assert (best.id, best.document) == ("a", Document("a ship on the sea", id="a"))
        assert await index.adelete(["a", "not there"]) == 1
        await index.aoptimize()
        assert index.count() == 2
        assert index.search("ship", mode="bm25").results == ()
    with Index.open(tmp_path / "i", create=False) as index:
        assert index.count() == 2


def test_ids_of_other_types_are_added_and_deleted(tmp_path: Path) -> None:
    ids: list[Any] = [np.int64(8), 9.0, UUID(int=5), np.int32(10)]
    with Index.open(tmp_path / "i") as index:
        assert index.add([{"id": i, "text": "bread", "title": np.nan} for i in ids]) == 4
        assert index.stored_ids(["8", "9", str(UUID(int=5)), "10"]) == {
            *("8", "9", str(UUID(int=5)), "10")
        }
        assert index.delete(ids) == 4
        with pytest.raises(InputError, match="is not an id"):
            index.delete([1.5])  # type: ignore[list-item]


@pytest.mark.parametrize("first", [np.nan, "Oslo"])
def test_metadata_that_is_nan_is_absent(tmp_path: Path, first: object) -> None:
    cities = [first, np.nan, "Bergen", None, np.float32("nan")]
    rows = [{"id": i, "text": "the key", "city": city} for i, city in enumerate(cities)]
    with Index.open(tmp_path / "i") as index:
        assert index.add(rows) == 5
        found = index.search("key", mode="bm25", rerank=False, filter="city = 'Bergen'")
        assert [r.id for r in found.results] == ["2"]
        found = index.search("key", mode="bm25", rerank=False, top_k=5)
        kept = {r.id: dict(r.document.metadata) for r in found.results if r.document}
        assert (kept["1"], kept["3"], kept["4"]) == ({}, {"city": None}, {})


def test_progress_counts_every_document(tmp_path: Path) -> None:
    steps: list[int] = []
    with Index.open(tmp_path / "i") as index:
        index.add((f"text {i}" for i in range(300)), progress=steps.append)
    assert sum(steps) == 300
    assert all(s > 0 for s in steps)


def test_long_documents_become_passages_with_offsets(tmp_path: Path) -> None:
    text = " ".join(f"Sentence number {i} is about rivers." for i in range(200))
    with Index.open(tmp_path / "i", chunk_tokens=64, overlap=8) as index:
        index.add([{"id": "long", "title": "Rivers", "text": text}])
        assert index.count() == 1
        (best, *_) = index.search("Sentence number 77", mode="bm25", rerank=False).results
        assert best.document is not None
        where = best.document.metadata
        assert where["document_id"] == "long"
        assert text[where["start"] : where["end"]] == best.document.text
        assert best.document.title == "Rivers"
        assert "number 77" in best.document.text


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "hybird"},
        {"candidates": 0},
        {"candidates": -1},
        {"top_k": 0},
        {"fusion": "rff"},
        {"blend": {"bm52": 1.0}},
        {"min_score": "much"},
        {"passages": "most"},
    ],
)
def test_arguments_that_cannot_be_used(index: Index, options: dict) -> None:
    with pytest.raises(InputError):
        index.search(QUERY, **options)


def test_queries_that_cannot_be_used(index: Index) -> None:
    for query in ("", "  ", None, 7):
        with pytest.raises(InputError):
            index.search(query)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="single text"):
        index.delete("a")


def test_a_missing_index(tmp_path: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="secondpass index"):
        Index.open(tmp_path / "absent", create=False)
    assert not (tmp_path / "absent").exists()


def open_with_reader(path: Path, folder: Path, **options: Any) -> Index:
    # A new reader each time: what it still has in memory would hide what the file gives.
    embedder = Embedder(folder / "encoder")
    return Index.open(path, embedder=embedder, reranker=Reranker(folder), **options)


def state_files(path: Path) -> list[Path]:
    return sorted(path.glob("states-*"))


SEAS = [
    {"id": f"{colour}-{kind}", "title": f"{kind}", "text": f"the {colour} {kind} and the storm"}
    for colour in ("blue", "slow", "new")
    for kind in ("sea", "river", "ship", "bread")
]
STORM = "when was the storm on the slow river"


def test_adding_keeps_what_a_reader_reads(tmp_path: Path, reader_folder: Path) -> None:
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        encoder = index.embedder.encoder
        before = encoder.encoded
        index.add(SEAS)
        assert encoder.encoded == before + len(SEAS)
        assert len(state_files(tmp_path / "i")) == 1
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        encoder = index.embedder.encoder
        before = encoder.encoded
        response = index.search(STORM, top_k=None)
        # The query, once for both passes, and no document.
        assert encoder.encoded == before + 1
        assert response.usage.documents == response.usage.pairs == len(SEAS)
        assert response.usage.tokens == index.embedder.count_tokens(STORM) + 2
        assert response.reason is None
        index.add([*SEAS, {"id": "one more", "text": "a mail"}])
        assert encoder.encoded == before + 2


LONG = [
    {"id": f"long-{i}", "title": f"Rivers {i}", "text": f"a river {i} and a slow sea " * 60}
    for i in range(3)
]


def test_a_search_encodes_no_document_token_of_long_passages(
    tmp_path: Path, reader_folder: Path
) -> None:
    results = []
    for keep in (True, False):
        with open_with_reader(tmp_path / str(keep), reader_folder, keep_states=keep) as index:
            index.add([*SEAS, *LONG])
            assert index.count_unread_windows() == 0
        with open_with_reader(tmp_path / str(keep), reader_folder) as index:
            response = index.search(STORM, top_k=None, blend=False)
            results.append({r.id: r.score for r in response.results})
            assert response.usage.pairs > len(SEAS) + 10
            query = index.embedder.count_tokens(STORM) + 2
            assert (response.usage.tokens == query) is keep
    assert results[0] == pytest.approx(results[1], abs=1e-3)


def test_a_new_title_has_its_windows_read(tmp_path: Path, reader_folder: Path) -> None:
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        index.add(LONG)
        index.add([{**LONG[0], "title": "Ships"}])
        assert index.count_unread_windows() == 0
        response = index.search(STORM, top_k=None)
        assert response.usage.tokens == index.embedder.count_tokens(STORM) + 2


def test_optimize_reads_what_an_older_index_lacks(tmp_path: Path, reader_folder: Path) -> None:
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        index.add([*SEAS, *LONG])
        (store,) = index._states._stores.values()
        count = store.count()
        # Earlier versions stored the states of the first window only.
        first = index.embedder.sequences([f"{d['title']}\n{d['text']}" for d in [*SEAS, *LONG]])
        store.keep_only(KeySet(map(record_key, first)), KeySet())
        assert store.count() == len(SEAS) + len(LONG)
        assert index.count_unread_windows() == count - store.count()
        index.optimize()
        assert store.count() == count
        assert index.count_unread_windows() == 0


def test_results_are_the_same_with_and_without_what_is_kept(
    tmp_path: Path, reader_folder: Path
) -> None:
    found = []
    for keep in (True, False):
        with open_with_reader(tmp_path / str(keep), reader_folder, keep_states=keep) as index:
            index.add(SEAS)
        with open_with_reader(tmp_path / str(keep), reader_folder) as index:
            found.append(index.search(STORM, top_k=None, blend=False).results)
            assert bool(state_files(tmp_path / str(keep))) is keep
    assert [r.id for r in found[0]] == [r.id for r in found[1]]
    for kept, fresh in zip(*found, strict=True):
        assert kept.score == pytest.approx(fresh.score, abs=1e-3)


def test_keeping_can_be_switched_and_is_remembered(tmp_path: Path, reader_folder: Path) -> None:
    def files_after(**options: Any) -> int:
        with open_with_reader(tmp_path / "i", reader_folder, **options) as index:
            index.search(STORM)
            index.optimize()
        return len(state_files(tmp_path / "i"))

    with open_with_reader(tmp_path / "i", reader_folder, keep_states=False) as index:
        index.add(SEAS)
    assert files_after() == 0
    assert files_after(keep_states=True) == 1
    assert files_after() == 1
    assert files_after(keep_states=False) == 0
    assert json.loads((tmp_path / "i" / "index.json").read_text())["keep_states"] is False


def test_a_search_tokenises_no_document_that_was_there(
    tmp_path: Path, reader_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titled = {"id": "titled", "title": "Rivers", "text": "a river and a sea"}
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        index.add([*SEAS, titled])
    cut: list[object] = []
    documents = Segmenter._documents

    def counting(cutter: Segmenter, texts: Sequence[object], *rest: Any) -> Iterator[Any]:
        cut.extend(texts)
        return documents(cutter, texts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Segmenter, "_documents", counting)
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        assert len(index.search("a river", top_k=None).results) == len(SEAS) + 1
        assert cut == []
        index.optimize()
        index.search("a river", top_k=None, fields=["text"])
        assert [text for text in cut if "Rivers" in str(text)] == []
        assert cut


def test_optimize_drops_what_was_kept_of_documents_that_are_gone(
    tmp_path: Path, reader_folder: Path
) -> None:
    long = {"id": "long", "text": "a river and a sea " * 40}
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        index.add([*SEAS, long])
        index.search("a river", top_k=None)
        (store,) = index._states._stores.values()
        windows = store.count() - len(SEAS)
        assert windows > 1
        index.search("sea", fields=["text"], max_length=20)
        assert store.count() > len(SEAS) + windows
        index.delete([str(one["id"]) for one in SEAS[:5]])
        index.optimize()
        assert store.count() == len(SEAS) - 5 + windows
        before = index.embedder.encoder.encoded
        index.search("a river", top_k=None)
        assert index.embedder.encoder.encoded == before
        index.delete(["long"])
        index.optimize()
        assert store.count() == len(SEAS) - 5


def test_a_damaged_file_of_states_breaks_neither_adding_nor_searching(
    tmp_path: Path, reader_folder: Path
) -> None:
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        index.add(SEAS[:6])
        expected = [r.id for r in index.search(STORM, top_k=None).results]
    (file,) = state_files(tmp_path / "i")
    file.write_bytes(b"no database" * 1000)
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        response = index.search(STORM, top_k=None)
        assert [r.id for r in response.results] == expected
        assert response.status is Status.RERANKED
        assert "read again" in str(response.reason)
    file.write_bytes(b"no database" * 1000)
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        with pytest.warns(UserWarning, match="states were not stored"):
            index.add(SEAS[6:])
        assert index.count() == len(SEAS)
        assert index.search(STORM, top_k=None).reason is None


def test_other_rerankers_and_embedders_keep_nothing(
    tmp_path: Path, reader_folder: Path
) -> None:
    class Untouchable(BaseReranker):
        model = "untouchable"

        def score(self, *_: object) -> Scored:
            raise AssertionError("adding does not rerank")

    embedder = Embedder(reader_folder / "encoder")
    with Index.open(tmp_path / "a", embedder=embedder, reranker=Untouchable()) as index:
        index.add(SEAS)
        index.optimize()
        assert not index._rerankers._composer._models
        # A reader given to one search finds the same encoder, and so a place to keep.
        index.search(STORM, rerank=Reranker(reader_folder))
        assert len(state_files(tmp_path / "a")) == 1
    with Index.open(tmp_path / "b", reranker=Reranker(reader_folder)) as index:
        index.add(SEAS)
        assert index.search(STORM, top_k=None).usage.tokens > 40
        assert state_files(tmp_path / "b") == []


def test_a_string_names_a_model_also_where_the_index_has_its_own(
    tmp_path: Path, reader_folder: Path
) -> None:
    with open_with_reader(tmp_path / "i", reader_folder) as index:
        index.add(SEAS)
        assert index.search(STORM).model == str(reader_folder)
        assert index.search(STORM, rerank="bundled-tiny").model == "bundled-tiny"
        assert index.search(STORM, rerank="bundled").model == "bundled"
        assert index.reranker("bundled").model == "bundled"
        assert index.reranker().model == str(reader_folder)


def test_policies_of_a_search_are_options(index: Index, tmp_path: Path) -> None:
    file = tmp_path / "scores.sqlite"
    first = index.search(QUERY, candidates=30, budget_ms=600_000, cache=file, cascade=True)
    again = index.search(QUERY, candidates=30, budget_ms=600_000, cache=file, cascade=True)
    assert file.is_file()
    assert again.results == first.results
    assert (first.usage.pairs > 0, again.usage.pairs) == (True, 0)
    plain = index.search(QUERY, candidates=30, cascade=True)
    assert [r.id for r in plain.results] == [r.id for r in first.results]
    small = index.search(QUERY, candidates=30, budget_ms=1e-6)
    assert small.status is Status.PARTIALLY_RERANKED
    early = index.search(QUERY, candidates=30, early_exit=True, blend=False, top_k=2)
    whole = index.search(QUERY, candidates=30, blend=False, top_k=2)
    assert [r.id for r in early.results] == [r.id for r in whole.results]
    assert early.usage.scored < whole.usage.scored
    with pytest.raises(InputError, match="loaded by name"):
        index.search(QUERY, rerank=Reranker(), early_exit=True)
    options: Any = {"candidates": 30, "top_k": 30, "blend": False}
    marked = index.search(QUERY, rerank=Reranker(), early_exit_at=2, **options)
    assert [r.id for r in marked.results[:2]] == [r.id for r in whole.results]
    assert marked.usage.scored < len(marked.results)


def test_an_unknown_option_is_named_with_the_nearest(index: Index) -> None:
    with pytest.raises(InputError, match="Did you mean 'budget_ms'"):
        index.search(QUERY, budget=80)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="budget_ms is for the second pass"):
        index.search(QUERY, rerank=False, budget_ms=80)
