"""What users of weaviate-client 4 do by gRPC, run by itself: HOST PORT GRPC_PORT KEY READER."""

from __future__ import annotations

import asyncio
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import weaviate
from sdk_refused import error_of
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.data import DataObject, GeoCoordinate
from weaviate.classes.init import Auth
from weaviate.classes.query import (
    BM25Operator,
    Boost,
    Diversity,
    Filter,
    GroupBy,
    HybridFusion,
    HybridVector,
    MetadataQuery,
    Metrics,
    Move,
    QueryNested,
    QueryReference,
    Rerank,
    Sort,
)
from weaviate.exceptions import (
    InsufficientPermissionsError,
    WeaviateDeleteManyError,
    WeaviateQueryError,
    WeaviateTenantGetError,
)

HOST, PORT, GRPC_PORT, KEY, READER = sys.argv[1:]
TEXTS = {
    "paris": "Paris is the capital of France",
    "berlin": "Berlin lies in Germany",
    "dogs": "Dogs bark at night",
    "market": "The stock market fell today",
}
QUESTION = "What is the capital of France?"


def connection(key: str) -> dict[str, Any]:
    return {
        "host": HOST,
        "port": int(PORT),
        "grpc_port": int(GRPC_PORT),
        "auth_credentials": Auth.api_key(key),
    }


def refused(kind: type[Exception], do: Any, *arguments: Any, **options: Any) -> str:
    """Return what the client says of a request that is refused."""
    return str(error_of(kind, do, *arguments, **options))


def names(found: Any) -> list[str]:
    return [one.properties["name"] for one in found.objects]


def all_types(client: Any) -> None:
    """Every type of value comes back as it went in."""
    kinds = {
        **{"text": DataType.TEXT, "texts": DataType.TEXT_ARRAY, "int": DataType.INT},
        **{"ints": DataType.INT_ARRAY, "number": DataType.NUMBER, "blob": DataType.BLOB},
        **{"numbers": DataType.NUMBER_ARRAY, "yes": DataType.BOOL, "when": DataType.DATE},
        **{"yeses": DataType.BOOL_ARRAY, "whens": DataType.DATE_ARRAY, "uid": DataType.UUID},
        **{"uids": DataType.UUID_ARRAY, "place": DataType.GEO_COORDINATES},
    }
    nested = [
        Property(name="name", data_type=DataType.TEXT),
        Property(name="sizes", data_type=DataType.INT_ARRAY),
        Property(
            name="inner",
            data_type=DataType.OBJECT,
            nested_properties=[Property(name="deep", data_type=DataType.NUMBER)],
        ),
    ]
    kept = client.collections.create(
        "Kept",
        properties=[
            *(Property(name=name, data_type=kind) for name, kind in kinds.items()),
            Property(name="maker", data_type=DataType.OBJECT, nested_properties=nested),
            Property(name="makers", data_type=DataType.OBJECT_ARRAY, nested_properties=nested),
        ],
    )
    when = datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=UTC)
    maker = {"name": "M", "sizes": [1, -2], "inner": {"deep": 0.25}}
    values: dict[str, Any] = {
        **{"text": "", "texts": ["a", "ü\u2028"], "int": -(2**53), "ints": [0, 2**40]},
        **{"number": 0.1, "numbers": [1.5, -0.0], "yes": False, "yeses": [True, False]},
        **{"when": when, "whens": [when, when + timedelta(days=1)]},
        **{"uid": uuid.uuid4(), "uids": [uuid.uuid4(), uuid.uuid4()]},
        **{"place": GeoCoordinate(latitude=52.5, longitude=-13.25)},
        **{"maker": maker, "makers": [maker, {"name": "N"}], "blob": "aGVsbG8="},
    }
    empty: dict[str, Any] = {name: [] for name in ("texts", "ints", "numbers", "yeses")}
    done = kept.data.insert_many([values, empty, {}])
    assert not done.has_errors, done.errors
    full, bare, nothing = (
        kept.query.fetch_object_by_id(done.uuids[place]).properties for place in range(3)
    )
    blob = values.pop("blob")
    assert full == values, full
    assert {name: bare[name] for name in empty} == empty
    assert set(nothing.values()) == {None}
    assert nothing.keys() == full.keys()
    (chosen,) = kept.query.fetch_objects(
        filters=Filter.by_property("yes").equal(False),
        return_properties=[
            "blob",
            QueryNested(
                name="maker",
                properties=["name", QueryNested(name="inner", properties=["deep"])],
            ),
        ],
    ).objects
    assert chosen.properties == {"blob": blob, "maker": {"name": "M", "inner": {"deep": 0.25}}}
    (bare_one,) = kept.query.fetch_objects(limit=1, return_properties=False).objects
    assert bare_one.properties == {}
    by = Filter.by_property
    for condition in (
        by("int").less_than(0),
        by("ints").contains_any([2**40]),
        # Whole numbers for fractions, and the other way round.
        by("number").greater_or_equal(0) & by("int").equal(-(2.0**53)),
        by("numbers").contains_all([1.5]),
        by("when").less_than(when + timedelta(seconds=1)),
        by("whens").contains_any([when]),
        by("uid").equal(values["uid"]),
        by("uids").contains_any(values["uids"]),
        by("yeses").contains_all([True]),
        by("texts").like("ü*"),
        by("int").is_none(False),
        Filter.not_(by("int").is_none(True)),
        Filter.all_of([by("yes").not_equal(True), Filter.by_id().equal(done.uuids[0])]),
        Filter.by_id().contains_any([done.uuids[0]]) | by("int").equal(7),
    ):
        found = [one.uuid for one in kept.query.fetch_objects(filters=condition).objects]
        assert found == [done.uuids[0]], condition
    later = datetime.now(UTC) + timedelta(hours=1)
    made = kept.query.fetch_objects(filters=Filter.by_creation_time().less_than(later))
    assert len(made.objects) == 3
    changed = kept.query.fetch_objects(filters=Filter.by_update_time().greater_than(later))
    assert not changed.objects


def searches(client: Any) -> None:
    docs = client.collections.create(
        "Doc",
        properties=[
            Property(name="name", data_type=DataType.TEXT),
            Property(name="text", data_type=DataType.TEXT),
            Property(name="n", data_type=DataType.INT),
        ],
        vector_config=Configure.Vectors.text2vec_transformers(source_properties=["text"]),
        reranker_config=Configure.Reranker.transformers(),
    )
    with docs.batch.fixed_size(batch_size=2) as batch:
        for n, (name, text) in enumerate(TEXTS.items()):
            batch.add_object({"name": name, "text": text, "n": n}, uuid=uuid.UUID(int=n))
    assert not docs.batch.failed_objects
    assert len(docs) == 4

    # Each way to search, the second pass after it, and all that is said of what is found.
    rerank = Rerank(prop="text", query=QUESTION)
    full = MetadataQuery.full()
    for found in (
        docs.query.hybrid(QUESTION, rerank=rerank, return_metadata=full),
        docs.query.bm25("capital lies bark fell", rerank=rerank, return_metadata=full),
        docs.query.near_text("a city", rerank=rerank, return_metadata=full),
    ):
        assert names(found)[0] == "paris"
        scores = [one.metadata.rerank_score for one in found.objects]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)
        assert all(one.metadata.creation_time <= datetime.now(UTC) for one in found.objects)
    # Without a question of its own the second pass has that of the search.
    same = docs.query.hybrid(QUESTION, rerank=Rerank(prop="text"), return_metadata=full)
    assert [one.metadata.rerank_score for one in same.objects] == [
        one.metadata.rerank_score
        for one in docs.query.hybrid(QUESTION, rerank=rerank, return_metadata=full).objects
    ]

    (nearest,) = docs.query.near_text(
        "puppies", limit=1, return_metadata=full, include_vector=True
    ).objects
    assert nearest.properties["name"] == "dogs"
    assert 0 < nearest.metadata.distance < 1
    assert abs(nearest.metadata.certainty - (1 - nearest.metadata.distance / 2)) < 1e-6
    vector = nearest.vector["default"]
    assert len(vector) == 384
    assert names(docs.query.near_vector(vector, limit=1)) == ["dogs"]
    assert names(
        docs.query.near_vector({"default": vector}, target_vector="default", limit=1)
    ) == ["dogs"]
    assert names(docs.query.near_object(nearest.uuid, limit=1)) == ["dogs"]
    assert names(docs.query.near_vector(vector, distance=0.01)) == ["dogs"]
    assert names(docs.query.near_vector(vector, certainty=0.99)) == ["dogs"]
    moves = {
        "move_to": Move(force=1, concepts="finance"),
        "move_away": Move(force=1, concepts="animals"),
    }
    assert names(docs.query.near_text("puppies", **moves, limit=1)) == ["market"]

    (word,) = docs.query.bm25(
        "GERMANY", query_properties=["text^2", "name"], return_metadata=full
    ).objects
    assert word.properties == {"name": "berlin", "text": TEXTS["berlin"], "n": 1}
    assert word.metadata.score > 0
    assert word.metadata.explain_score.startswith("BM25")
    assert word.metadata.distance is None
    assert not docs.query.bm25("absent").objects

    assert names(docs.query.hybrid("Germany", alpha=0)) == ["berlin"]
    assert names(docs.query.hybrid("puppies", alpha=1, limit=1)) == ["dogs"]
    assert names(docs.query.hybrid("Germany", vector=vector, alpha=1, limit=1)) == ["dogs"]
    ranked = docs.query.hybrid("Germany", fusion_type=HybridFusion.RANKED, return_metadata=full)
    assert names(ranked)[0] == "berlin"
    assert "rankedFusion" in ranked.objects[0].metadata.explain_score
    by_text = docs.query.hybrid("Germany", vector=HybridVector.near_text("puppies"), alpha=0.9)
    assert names(by_text)[0] == "dogs"
    by_vector = docs.query.hybrid(
        None, vector=HybridVector.near_vector(vector), alpha=1, limit=1
    )
    assert names(by_vector) == ["dogs"]
    assert names(docs.query.hybrid("puppies", alpha=1, max_vector_distance=0.01)) == []
    sure = HybridVector.near_text("puppies", certainty=0.99)
    assert names(docs.query.hybrid("Germany", vector=sure, alpha=1)) == []
    assert len(docs.query.near_text("puppies", auto_limit=1).objects) < 4

    # Pages, order, ids.
    by_n = Sort.by_property("n", ascending=False)
    assert names(docs.query.fetch_objects(sort=by_n)) == list(TEXTS)[::-1]
    assert names(docs.query.fetch_objects(sort=by_n, limit=2, offset=1)) == ["dogs", "berlin"]
    assert names(docs.query.fetch_objects(after=uuid.UUID(int=1))) == ["dogs", "market"]
    assert [one.properties["n"] for one in docs.iterator(cache_size=3)] == [0, 1, 2, 3]
    assert len(next(iter(docs.iterator(include_vector=True))).vector["default"]) == 384
    assert names(docs.query.fetch_objects_by_ids([uuid.UUID(int=2), uuid.uuid4()])) == ["dogs"]
    assert docs.query.fetch_object_by_id(uuid.uuid4()) is None

    # Groups.
    by_name = GroupBy(prop="name", objects_per_group=1, number_of_groups=2)
    grouped = docs.query.near_text("dogs", group_by=by_name, return_metadata=["distance"])
    assert len(grouped.groups) == len(grouped.objects) == 2
    for name, group in grouped.groups.items():
        assert [one.properties["name"] for one in group.objects] == [name]
        assert group.min_distance == group.max_distance == group.objects[0].metadata.distance
    assert len(docs.query.bm25("dogs", group_by=by_name).groups) >= 1
    assert len(docs.query.hybrid("dogs", group_by=by_name).groups) == 2

    # Boosts and diversity.
    for number in range(4):
        near = Boost.numeric_decay("n", origin=number, scale=1, weight=1.0)
        found = docs.query.near_text("dogs", boost=near, return_metadata=["score"])
        assert found.objects[0].properties["n"] == number
        wanted = Boost.filter(Filter.by_property("n").equal(number), weight=1.0)
        found = docs.query.hybrid("dogs", boost=wanted)
        assert found.objects[0].properties["n"] == number
    chosen = docs.query.near_text(
        "dogs", limit=4, diversity_selection=Diversity.mmr(limit=2, balance=0.5)
    )
    assert len(chosen.objects) == 2
    assert names(chosen)[0] == names(docs.query.near_text("dogs", limit=1))[0]

    # Counting and removing.
    some = Filter.by_property("n").greater_than(1)
    assert docs.aggregate.over_all(total_count=True).total_count == 4
    assert docs.aggregate.over_all(total_count=True, filters=some).total_count == 2
    dry = docs.data.delete_many(some, dry_run=True, verbose=True)
    assert (dry.matches, dry.successful, len(dry.objects)) == (2, 2, 2)
    gone = docs.data.delete_many(some, verbose=True)
    assert (gone.matches, gone.successful, gone.failed) == (2, 2, 0)
    assert {one.uuid for one in gone.objects} == {uuid.UUID(int=2), uuid.UUID(int=3)}
    assert len(docs) == 2


def refusals(client: Any) -> None:
    """What is not supported, or wrong, is an error that says so: nothing is left out."""
    docs = client.collections.get("Doc")
    by, query = Filter.by_property, docs.query
    grouped = GroupBy(prop="absent", objects_per_group=1, number_of_groups=1)
    near = by("place").within_geo_range(GeoCoordinate(latitude=1, longitude=1), 5)
    moved = Move(force=1, objects=uuid.uuid4())
    for said, do, options in (
        ("no such prop", query.near_text, {"query": "x", "group_by": grouped}),
        ("near_image is not supported", query.near_image, {"near_image": "aGVsbG8="}),
        ("generative is not", docs.generate.fetch_objects, {"single_prompt": "{text}"}),
        ("moving to objects", query.near_text, {"query": "x", "move_to": moved}),
        ("no vector 'other'", query.near_text, {"query": "x", "target_vector": "other"}),
        ("3 is not 384", query.near_vector, {"near_vector": [1, 2, 3]}),
        ("no such prop", query.bm25, {"query": "x", "query_properties": ["absent"]}),
        ("must have query", query.bm25, {"query": ""}),
        ("only the operator Or", query.bm25, {"query": "x", "operator": BM25Operator.and_()}),
        (
            "only the operator Or",
            query.hybrid,
            {"query": "x", "bm25_operator": BM25Operator.or_(2)},
        ),
        ("no such prop", query.bm25, {"query": "x", "rerank": Rerank(prop="absent")}),
    ):
        assert said in refused(WeaviateQueryError, do, **options)
    fetch = query.fetch_objects
    for said, options in (
        ("ref_properties is not", {"return_references": QueryReference(link_on="other")}),
        ("no such property 'absent'", {"return_properties": ["absent"]}),
        ("maximum results", {"limit": 10_001}),
        ("value_geo is not supported", {"filters": near}),
        ("single_target is not", {"filters": Filter.by_ref("other").by_property("x").equal(1)}),
        ("no such prop", {"filters": by("absent").equal(1)}),
        ("valid property name", {"filters": by("n", length=True).equal(1)}),
        ("'x' is not a number", {"filters": by("n").equal("x")}),
        ("cannot use", {"filters": by("name").equal(5)}),
        ("another type: 0.5", {"filters": by("n").equal(0.5)}),
    ):
        assert said in refused(WeaviateQueryError, fetch, **options)
    missing = client.collections.get("Missing").query.fetch_objects
    assert "not found" in refused(WeaviateQueryError, missing)
    assert "multi-tenancy" in refused(
        WeaviateQueryError, docs.with_tenant("t").query.fetch_objects
    )
    assert "TenantsGet is not supported" in refused(WeaviateTenantGetError, docs.tenants.get)
    assert "cannot use" in refused(
        WeaviateDeleteManyError, docs.data.delete_many, by("name").equal(5)
    )
    # Counting, which this client does by GraphQL.
    numbers = Metrics("n").integer(maximum=True)
    assert "Cannot query field" in refused(
        WeaviateQueryError, docs.aggregate.over_all, return_metrics=numbers
    )

    # Of a batch, what can be stored is.
    done = docs.data.insert_many(
        [
            DataObject({"name": "good", "n": 5}),
            DataObject({"n": "five"}),
            DataObject({"name": "also good"}, uuid=uuid.UUID(int=9)),
            DataObject({"name": "short"}, vector=[1.0, 2.0]),
            DataObject({"name": "linked"}, references={"other": uuid.uuid4()}),
        ]
    )
    assert sorted(done.errors) == [1, 3, 4]
    assert "not an integer" in done.errors[1].message
    assert "2 is not 384" in done.errors[3].message
    assert "single_target_ref_props is not supported" in done.errors[4].message
    assert len(docs) == 4
    # Of a collection that nobody made.
    made = client.collections.get("Made")
    assert not made.data.insert_many([{"word": "a", "size": 1.5}]).has_errors
    assert made.query.fetch_objects().objects[0].properties == {"word": "a", "size": 1.5}


async def asynchronously() -> None:
    async with weaviate.use_async_with_local(**connection(KEY)) as client:
        docs = client.collections.get("Doc")
        many = [docs.query.hybrid(QUESTION, rerank=Rerank(prop="text")) for _ in range(20)]
        for found in await asyncio.gather(*many):
            assert names(found)[0] == "paris"


with weaviate.connect_to_local(**connection(KEY)) as client:
    all_types(client)
    searches(client)
    refusals(client)
asyncio.run(asynchronously())

with weaviate.connect_to_local(**connection(READER)) as client:
    docs = client.collections.get("Doc")
    assert docs.query.bm25("capital").objects
    for do, given in (
        (docs.data.insert_many, [{"name": "x"}]),
        (docs.data.delete_many, Filter.by_property("n").equal(0)),
    ):
        assert "not for write" in refused(InsufficientPermissionsError, do, given)
