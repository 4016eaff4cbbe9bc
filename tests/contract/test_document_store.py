"""What every document store must do."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondpass.errors import FilterError, IndexStoreError, InputError
from secondpass.retrieve.store_protocol import DocumentStore
from secondpass.types import Origin
from tests.contract.document_stores import (
    CATS,
    EMBEDDER,
    Open,
    chunks,
    near,
    passage,
    whole,
    words,
)


def test_an_empty_store_finds_nothing(store: DocumentStore) -> None:
    assert store.count_passages() == store.count_documents() == 0
    assert words(store, "cat") == near(store, "cat") == []
    store.optimize()
    store.upsert([])
    assert dict(store.fields) == {}


def test_what_was_stored_is_found_at_once_with_all_it_had(store: DocumentStore) -> None:
    store.upsert(CATS)
    hit = store.bm25("cat", 10)[0]
    assert hit.document.id == hit.id == "a"
    assert (hit.document.title, hit.document.text) == ("Cats", "the cat sat on the mat")
    assert hit.document.metadata == {"year": 2015, "source": "docs"}
    assert near(store, "cats and dogs living together")[0] == "c"
    store.upsert([passage("d", "a zebra")])
    assert words(store, "zebras") == ["d"]
    assert near(store, "a zebra", 1) == ["d"]


def test_title_and_text_are_both_searched_and_words_are_stemmed(store: DocumentStore) -> None:
    store.upsert([passage("t", "nothing here", "Running zebras"), passage("u", "empty")])
    assert words(store, "zebra") == words(store, "runs") == ["t"]


@pytest.mark.parametrize("title", [None, "", "one line", "two\nlines", "\n", "日本\n語"])
def test_titles_come_back_as_they_were(store: DocumentStore, title: str | None) -> None:
    store.upsert([passage("a", "text\n\nand more ", title)])
    document = store.bm25("text", 1)[0].document
    assert (document.title, document.text) == (title, "text\n\nand more ")


def test_storing_twice_changes_nothing(store: DocumentStore) -> None:
    store.upsert(CATS)
    before = [(h.id, h.score, h.document) for h in store.bm25("cat dog", 10)]
    store.upsert(CATS)
    store.optimize()
    assert [(h.id, h.score, h.document) for h in store.bm25("cat dog", 10)] == before
    assert store.count_passages() == 3


def test_an_id_twice_in_one_batch_is_stored_once(store: DocumentStore) -> None:
    store.upsert([passage("a", "first"), passage("a", "second")])
    assert store.count_passages() == 1
    assert words(store, "second") == ["a"]


def test_a_document_is_replaced_with_all_its_chunks(store: DocumentStore) -> None:
    store.upsert([*chunks("long", "alpha one", "beta two", "gamma three"), *CATS])
    assert (store.count_passages(), store.count_documents()) == (6, 4)
    assert store.bm25("beta", 1)[0].document.metadata == {
        "document_id": "long",
        "chunk": 2,
        "start": 0,
        "end": 8,
    }
    store.upsert(chunks("long", "alpha one", "delta four"))
    assert (store.count_passages(), store.count_documents()) == (5, 4)
    assert words(store, "beta gamma") == []
    store.upsert([passage("long", "short now")])
    assert (store.count_passages(), store.count_documents()) == (4, 4)
    assert store.delete(["long"]) == 1


def test_delete_counts_documents(store: DocumentStore) -> None:
    store.upsert([*CATS, *chunks("long", "alpha one", "beta two")])
    assert store.delete(["a", "a", "long", "unknown"]) == 2
    assert store.delete([]) == store.delete(["a"]) == 0
    assert words(store, "cat alpha") == ["c"]
    assert "a" not in near(store, "the cat sat")
    assert store.count_passages() == 2


STRANGE = [
    *("it's", "''", 'say "hi"', "back\\slash", "%", "_", "--", "/* */", "`tick`", ";", "a b"),
    *("new\nline", "tab\t", "emoji 😀", "日本語", "עברית", "nul\0byte", "\u202e", " ", "#1"),
]


def test_ids_may_hold_any_character(store: DocumentStore) -> None:
    store.upsert([passage(name, "zebra") for name in STRANGE])
    store.upsert([passage(name, "zebra", year=1) for name in STRANGE])
    assert sorted(words(store, "zebra", 50)) == sorted(STRANGE)
    assert set(store.lookup(STRANGE)) == set(STRANGE)
    assert {h.id for h in store.bm25("zebra", 50, passages=whole(STRANGE))} == set(STRANGE)
    assert store.delete(STRANGE[:5]) == 5
    assert sorted(words(store, "zebra", 50)) == sorted(STRANGE[5:])


def test_lone_surrogates_are_replaced(store: DocumentStore) -> None:
    store.upsert([passage("id\ud800", "zebra \udfff end", "t\ud83d", note="x\ud800y")])
    hit = store.bm25("zebra \ud800", 1)[0]
    assert (hit.id, hit.document.text) == ("id\ufffd", "zebra \ufffd end")
    assert hit.document.title == "t\ufffd"
    assert set(store.lookup(["id\ud800"])) == {"id\ufffd"}
    assert store.delete(["id\ud800"]) == 1


QUERIES = [
    *("", " ", "\0", "\n", "!!!", '"', "'", '"open', "(a AND", "a:b^3~", "+ - *", "😀", "/re/"),
    *("the of and", "x" * 10_240, "\ud800", "[1 TO 2]", "\\", "NOT", "%s {} $1"),
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_only_words(store: DocumentStore, query: str) -> None:
    store.upsert(CATS)
    assert store.bm25(query, 10) == []
    assert set(words(store, f"{query} cat")) == {"a", "c"}


def test_a_long_query_works(store: DocumentStore) -> None:
    store.upsert(CATS)
    assert words(store, "cat park zebra " * 700)[0] in {"a", "b"}


def test_hits_are_ordered_by_score_then_id(store: DocumentStore) -> None:
    names = [f"n{i:02d}" for i in range(12)]
    store.upsert([passage(name, "zebra same text") for name in reversed(names)])
    store.upsert([passage("z", "zebra zebra zebra"), passage("y", "zebra and much else here")])
    for limit in (1, 5, 13, 20):
        assert words(store, "zebra", limit) == ["z", *names, "y"][:limit]
        hits = store.vector(EMBEDDER.encode(["zebra same text"])[0], limit)
        assert [h.id for h in hits][:12] == names[:limit]
        assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)


def test_the_score_of_a_vector_is_the_cosine(store: DocumentStore) -> None:
    store.upsert(CATS)
    query = EMBEDDER.encode(["some dog"])[0]
    for hit in store.vector(query * 3, 10):
        exact = float(query @ next(p.embedding for p in CATS if p.id == hit.id))
        assert hit.score == pytest.approx(exact, abs=1e-5)
    assert store.vector(EMBEDDER.encode(["same"])[0], 0 + 1)[0].score <= 1.0


def test_bm25_can_give_the_vectors_and_score_given_ids(store: DocumentStore) -> None:
    store.upsert(CATS)
    all_hits = {h.id: h for h in store.bm25("cat dog", 10, embeddings=True)}
    for name, hit in all_hits.items():
        expected = next(p.embedding for p in CATS if p.id == name)
        np.testing.assert_array_equal(hit.embedding, expected)
    only = store.bm25("cat dog", 10, passages=whole(["b", "unknown"]))
    assert [(h.id, h.embedding) for h in only] == [("b", None)]
    assert only[0].score == pytest.approx(all_hits["b"].score)
    assert store.bm25("cat", 10, passages=[]) == []


def test_vectors_of_passages_can_be_read(store: DocumentStore) -> None:
    store.upsert(CATS)
    found = store.embeddings(whole(["b", "unknown"]))
    assert list(found) == ["b"]
    expected = next(p.embedding for p in CATS if p.id == "b")
    np.testing.assert_array_equal(found["b"], expected)
    assert store.embeddings([]) == {}


def test_words_can_have_weights(store: DocumentStore) -> None:
    store.upsert(CATS)
    cat = {h.id: h.score for h in store.bm25("cat", 10)}
    dog = {h.id: h.score for h in store.bm25("dog", 10)}
    both = store.bm25("something else", 10, weights={"cat": 2.0, "dog": 0.5, "the": 9.0})
    expected = {i: 2 * cat.get(i, 0) + dog.get(i, 0) / 2 for i in {*cat, *dog}}
    assert {h.id: h.score for h in both} == pytest.approx(expected, rel=1e-4)
    only = store.bm25("cat", 10, passages=whole(["b"]), weights={"dog": 1.0})
    assert [(h.id, h.score) for h in only] == [("b", pytest.approx(dog["b"]))]


def test_every_word_of_a_query_can_be_wanted(store: DocumentStore) -> None:
    store.upsert(CATS)

    def found(text: str) -> set[str]:
        return {h.id for h in store.bm25(text, 10, all_words=True)}

    assert found("cat") == {"a", "c"}
    assert found("cat dog") == {"c"}
    assert found("the cats and the dogs") == {"c"}
    assert found("cat zebra") == found("the") == found("") == set()
    scores = {h.id: h.score for h in store.bm25("cat dog", 10)}
    (both,) = store.bm25("cat dog", 10, all_words=True)
    assert both.score == pytest.approx(scores["c"])
    assert store.bm25("cat dog", 10, "year > 2014", all_words=True) == []


def test_filters(store: DocumentStore) -> None:
    when = datetime(2020, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2)))
    store.upsert(CATS)
    store.upsert(
        [
            passage("d", "cat", day=date(2020, 1, 2), at=when, ok=True, order="it's"),
            passage("e", "cat", day=date(2021, 1, 2), ok=False, price=2.5),
        ]
    )
    expected = {
        "year >= 2015 AND source = 'docs'": {"a"},
        "YEAR < 2015 OR price = 2.5": {"c", "e"},
        "source IN ('docs')": {"a", "c"},
        "ok": {"d"},
        "NOT ok": {"e"},
        "day > date '2020-06-01'": {"e"},
        "at = timestamp '2020-01-02 01:04:00'": {"d"},
        "`order` = 'it''s'": {"d"},
        "year IS NULL": {"d", "e"},
        "source LIKE 'd%' AND year = 1": set(),
        "source = 'semi;colon'": set(),
    }
    for where, ids in expected.items():
        assert set(words(store, "cat", 10, where)) == ids, where
        assert set(near(store, "cat", 10, where)) == ids, where
    assert store.fields["year"] == "integer"


def test_a_filter_applies_before_the_limit(store: DocumentStore) -> None:
    store.upsert([passage(f"n{i}", "zebra " * (50 - i), number=i) for i in range(50)])
    for _ in range(2):
        assert set(words(store, "zebra", 3, "number >= 47")) == {"n47", "n48", "n49"}
        assert set(near(store, "zebra", 3, "number >= 47")) == {"n47", "n48", "n49"}
        store.optimize()


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("yaer > 3", "Did you mean 'year'"),
        ("year >", "EOF"),
        ("year = 'x'", "Int64"),
        ("year", "boolean"),
        ("", "empty"),
        ("  ", "empty"),
        ("year = 1; DELETE", "semicolon"),
        ("source = 'open", "source"),
        (3, "not text"),
    ],
)
def test_a_bad_filter_says_what_is_wrong(store: DocumentStore, where: Any, says: str) -> None:
    store.upsert(CATS)
    for query in ("cat", ""):
        with pytest.raises(FilterError) as caught:
            store.bm25(query, 10, where)
        assert says in str(caught.value)
        assert "year (integer)" in str(caught.value)
        assert ".rs" not in str(caught.value)
        assert "_sp_" not in str(caught.value)
    with pytest.raises(FilterError):
        near(store, "cat", 10, where)


def test_metadata_comes_back_exactly(store: DocumentStore) -> None:
    metadata: dict[str, Any] = {
        **{"id": "own", "title": "own", "text": "own", "_sp_doc": "own", "_score": 1},
        **{"deep": {"a": [1, {"b": None}], "$sp": 3}, "list": ["x", 2.5, True], "none": None},
        **{"with space": 1, "ключ": "значение", "tuple": (1, (2,)), "big": 2**70},
        **{"day": date(2020, 1, 2), "at": datetime(2020, 1, 2, 3, 4, 5, 6), "x": float("inf")},
        **{"odd": "\ud800", "empty": "", "zero": 0, "no": False, "number": 1.0},
    }
    store.upsert([replace(passage("a", "cat"), metadata=metadata)])
    found = store.bm25("cat", 1)[0].document
    assert found.metadata == metadata
    assert [type(v) for v in found.metadata.values()] == [type(v) for v in metadata.values()]
    assert words(store, "cat", 1, "id = 'own' AND title = 'own' AND text = 'own'") == ["a"]
    assert {"deep", "none"}.isdisjoint(store.fields)


ODD_NAMES = [
    "Publish Date",
    "a.b",
    'say "x"',
    "it's",
    "`tick`",
    "order",
    "Select",
    "Länge",
    "日付",
    "_under",
    "_sp_doc",
    "_spf_x",
    "2024",
    "a;b",
    "a--b",
    " ",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_field_of_any_name_can_be_filtered_on_in_quotes(
    store: DocumentStore, name: str
) -> None:
    store.upsert([passage("a", "cat", **{name: 1}), passage("b", "cat", **{name: 2.5})])
    assert dict(store.fields) == {name: "number"}
    double, tick = name.replace('"', '""'), name.replace("`", "``")
    for quoted in (f'"{double}"', f"`{tick}`", f'"{double.upper()}"'):
        assert words(store, "cat", 9, f"{quoted} > 2 AND 'it''s ;' = 'it''s ;'") == ["b"]
        assert near(store, "cat", 9, f"{quoted} = 1") == ["a"]
    # An error lists the name as it has to be written.
    with pytest.raises(FilterError) as caught:
        store.bm25("cat", 9, f'"{double} of no document" = 1')
    assert f'"{double}" (number)' in str(caught.value)
    column = [name for name in ("_sp_search", "_spf_") if name in str(caught.value)]
    assert column == [] or name == "_spf_x"


@pytest.mark.parametrize(
    ("where", "advice"),
    [
        ("Publish Date > 1", '"Publish Date"'),
        ("[Publish Date] > 1", '"Publish Date"'),
        ("select", '"select"'),
        ("'Publish Date' > 1", 'as "Publish Date"'),
        ('source = "docs"', "single quotes: 'docs'"),
    ],
)
def test_the_advice_for_a_name_without_its_quotes(
    store: DocumentStore, where: str, advice: str
) -> None:
    store.upsert([passage("a", "cat", **{"Publish Date": 1, "select": 1, "source": "docs"})])
    with pytest.raises(FilterError) as caught:
        store.bm25("cat", 9, where)
    assert advice in str(caught.value)


def test_new_fields_and_wider_numbers(store: DocumentStore) -> None:
    store.upsert([passage("a", "cat", n=1)])
    store.upsert([passage("b", "cat", n=2.5, extra="x"), passage("c", "cat", n=3)])
    store.upsert([passage("d", "cat", n=4), passage("e", "cat", N=5)])
    assert dict(store.fields) == {"n": "number", "extra": "text"}
    assert set(words(store, "cat", 9, "n >= 2.5")) == {"b", "c", "d", "e"}
    assert set(words(store, "cat", 9, "n = 1 OR extra = 'x'")) == {"a", "b"}
    assert type(store.bm25("cat", 1, "n = 1")[0].document.metadata["n"]) is int


@pytest.mark.parametrize("value", ["old", True, date(2020, 1, 1)])
def test_a_type_that_does_not_fit_is_refused_before_writing(
    store: DocumentStore, value: Any
) -> None:
    store.upsert(CATS)
    version = store.version
    with pytest.raises(InputError) as caught:
        store.upsert([passage("good", "cat", year=1), passage("bad", "cat", year=value, new=1)])
    for part in ("'year'", "'bad'", "expected integer", "got "):
        assert part in str(caught.value)
    assert store.version == version
    assert store.count_passages() == 3
    assert "new" not in store.fields


def test_a_vector_that_does_not_fit_is_refused(store: DocumentStore) -> None:
    good = passage("a", "cat")
    wrong = (None, np.ones(3, np.float32), np.full(16, np.nan, np.float32))
    for vector in wrong:
        with pytest.raises(InputError):
            store.upsert([good, replace(good, doc_id="b", embedding=vector)])
    with pytest.raises(InputError):
        store.vector(np.ones(3, np.float32), 1)
    assert store.count_passages() == 0


def test_documents_whose_ids_look_like_passages_are_kept_apart(store: DocumentStore) -> None:
    store.upsert([*chunks("a", "alpha", "beta"), passage("a#2", "beta other")])
    store.upsert([passage("a#2#0", "beta third")])
    store.upsert([passage("b#1", "beta fourth")])
    store.upsert(chunks("b", "beta fifth", "nothing"))
    hits = store.bm25("beta", 10)
    assert sorted((h.id, h.document.document_id, h.document.chunk) for h in hits) == [
        ("a#2", "a", 2),
        ("a#2", "a#2", 0),
        ("a#2#0", "a#2#0", 0),
        ("b#1", "b", 1),
        ("b#1", "b#1", 0),
    ]
    assert len({h.key for h in hits}) == 5
    assert (store.count_documents(), store.count_passages()) == (5, 7)
    cut = next(h.document for h in hits if h.document.origin and h.document.chunk == 2)
    assert cut.origin == Origin("a", 2, 0, 4)
    # Each alone is scored, of those that look alike.
    for hit in hits:
        (one,) = store.bm25("beta", 10, passages=[hit.document])
        assert (one.key, one.document) == (hit.key, hit.document)
    store.upsert([passage("a", "now whole")])
    assert store.bm25("beta", 10, passages=[cut]) == []
    assert store.delete(["a#2"]) == 1
    assert sorted(words(store, "beta")) == ["a#2#0", "b#1", "b#1"]
    assert store.count_documents() == 4


def test_versions(store: DocumentStore) -> None:
    store.upsert(CATS)
    old = store.version
    store.upsert([passage("d", "cat", extra=1)])
    store.delete(["a"])
    before = store.checkout(old)
    assert before.count_passages() == 3
    assert set(words(before, "cat")) == {"a", "c"}
    assert near(before, "the cat sat on the mat Cats", 1) == ["a"]
    assert set(words(store, "cat")) == {"c", "d"}
    assert old in [v.number for v in store.versions()]
    assert store.versions()[-1].number == store.version
    with pytest.raises(IndexStoreError, match="reading only"):
        before.upsert(CATS)
    with pytest.raises(InputError, match="version"):
        store.checkout(10**6)


def test_what_is_stored_survives_closing(opener: Open, tmp_path: Path) -> None:
    store = opener(tmp_path / "index")
    store.upsert(CATS)
    store.close()
    with pytest.raises(IndexStoreError, match="closed"):
        store.count_passages()
    again = opener(tmp_path / "index")
    assert again.count_passages() == 3
    assert set(words(again, "cat")) == {"a", "c"}
    assert again.lookup(["a", "zzz"])["a"].hash == CATS[0].text


def test_sources(store: DocumentStore) -> None:
    store.upsert([replace(p, source="/x/it's.txt") for p in CATS])
    assert store.ids_by_source("/x/it's.txt") == {"a", "b", "c"}
    store.set_source(["a"], "/y")
    assert store.ids_by_source("/x/it's.txt") == {"b", "c"}
    assert store.lookup(["a"])["a"].source == "/y"
    assert set(words(store, "cat")) == {"a", "c"}


def test_files_are_recorded_with_their_documents(store: DocumentStore) -> None:
    store.upsert([replace(p, source="/x") for p in CATS])
    assert store.files() == {"/x": None}
    before = store.version
    store.upsert(
        [passage("d", "cat")], delete=["a", "unknown"], files={"/x": "1", "/it's": "2"}
    )
    assert store.files() == {"/x": "1", "/it's": "2"}
    assert set(words(store, "cat")) == {"c", "d"}
    assert store.checkout(before).count_documents() == 3
    assert store.upsert([], files={"/x": None})
    assert store.files() == {"/x": None, "/it's": "2"}
    assert store.delete_files(["/x", "/it's", "/none"]) == 2
    assert store.files() == {}
    assert words(store, "cat") == ["d"]
    # Files have no weight in the statistics of a search.
    store.upsert([passage("e", "dog")])
    store.optimize()
    score = store.bm25("cat", 1)[0].score
    store.upsert([], files={f"/{i}": "x" for i in range(50)})
    store.optimize()
    assert store.bm25("cat", 1)[0].score == score
    assert len(near(store, "cat", 100)) == store.count_passages() == 2


def test_nothing_is_stored_over_what_another_writer_stored(store: DocumentStore) -> None:
    store.upsert(CATS)
    seen = store.lookup(["a", "b", "new"])
    assert store.upsert([passage("a", "mine"), passage("new", "mine")], records=seen)
    version = store.version
    for changed in (passage("a", "stale"), passage("new", "stale")):
        assert not store.upsert([passage("b", "stale"), changed], records=seen)
    assert not store.upsert([], delete=["a"], records=seen)
    assert store.version == version
    assert set(words(store, "mine")) == {"a", "new"}
