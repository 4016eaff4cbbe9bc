"""What users of weaviate-client 4 do without gRPC, run by itself: HOST PORT KEY."""

from __future__ import annotations

import sys
import uuid
from typing import Any

import weaviate
from sdk_refused import error_of
from weaviate.classes.config import Configure, DataType, Property, Reconfigure
from weaviate.classes.init import Auth
from weaviate.exceptions import UnexpectedStatusCodeError

HOST, PORT, KEY = sys.argv[1:]


def refused(do: Any, *arguments: Any, **options: Any) -> str:
    """Return what the client says of a request that is refused."""
    return str(error_of(UnexpectedStatusCodeError, do, *arguments, **options))


def connected(key: str) -> Any:
    return weaviate.connect_to_local(
        host=HOST,
        port=int(PORT),
        grpc_port=1,
        auth_credentials=Auth.api_key(key),
        skip_init_checks=True,
    )


with connected(KEY) as client:
    assert client.is_ready()
    assert client.get_meta()["version"] >= "1.27.0"

    # Collections.
    assert not client.collections.exists("Doc")
    docs = client.collections.create(
        "Doc",
        description="what is said",
        properties=[
            Property(name="text", data_type=DataType.TEXT),
            Property(name="when", data_type=DataType.DATE),
            Property(
                name="maker",
                data_type=DataType.OBJECT,
                nested_properties=[Property(name="name", data_type=DataType.TEXT)],
            ),
        ],
        vector_config=Configure.Vectors.self_provided(),
        reranker_config=Configure.Reranker.transformers(),
    )
    books = client.collections.create(
        "Book",
        properties=[Property(name="title", data_type=DataType.TEXT, skip_vectorization=True)],
        vector_config=Configure.Vectors.text2vec_transformers(),
    )
    plain = client.collections.create("Plain", vector_config=None)
    assert client.collections.exists("Doc")
    assert "already exists" in refused(client.collections.create, "Doc")
    config = client.collections.get("Doc").config.get()
    assert config.description == "what is said"
    assert [one.name for one in config.properties] == ["text", "when", "maker"]
    assert str(config.reranker_config.reranker.value) == "reranker-transformers"
    assert list(config.vector_config) == ["default"]
    assert set(client.collections.list_all()) == {"Book", "Doc", "Plain"}
    assert set(client.collections.list_all(simple=False)) == {"Book", "Doc", "Plain"}
    books.config.add_property(Property(name="more", data_type=DataType.TEXT_ARRAY))
    books.config.update(
        description="printed", reranker_config=Reconfigure.Reranker.cohere(model="any")
    )
    assert books.config.get().description == "printed"
    assert books.config.get().reranker_config.model == {"model": "any"}

    # Objects.
    capital = "Paris is the capital of France"
    first = docs.data.insert({"text": "x", "maker": {"name": "M"}}, vector=[1, 0, 0])
    second = docs.data.insert({"text": "Berlin"}, vector={"default": [0, 1, 0]})
    third = docs.data.insert({"text": "without a vector"}, uuid=uuid.uuid4())
    docs.data.update(first, properties={"text": capital})
    docs.data.replace(second, properties={"text": "Berlin in Germany"}, vector=[0, 1, 0.5])
    assert docs.data.exists(first)
    assert "404" in refused(docs.data.update, uuid.uuid4(), properties={"text": "x"})
    assert "already exists" in refused(docs.data.insert, {"text": "x"}, uuid=first)
    assert "not a string" in refused(docs.data.insert, {"text": 5})
    assert "4 is not 3" in refused(docs.data.insert, {"text": "x"}, vector=[1, 2, 3, 4])
    for title in ("dogs bark at night", "the stock market fell"):
        books.data.insert({"title": title, "more": [title]})
    plain.data.insert({"anything": 5})

    # Queries.
    rerank = 'rerank(property: "text", query: "capital of France"){score}'
    answer = client.graphql_raw_query(
        "{Get{Doc(nearVector: {vector: [0, 1, 0]}){text maker{name} "
        f"_additional{{id distance vectors{{default}} {rerank}}}}}}}}}"
    )
    assert answer.errors is None
    rows = answer.get["Doc"]
    assert [row["text"] for row in rows] == [capital, "Berlin in Germany"]
    assert rows[0]["maker"] == {"name": "M"}
    assert rows[0]["_additional"]["vectors"] == {"default": [1, 0, 0]}
    scores = [row["_additional"]["rerank"][0]["score"] for row in rows]
    assert scores[0] > scores[1]
    answer = client.graphql_raw_query(
        '{Get{Book(nearText: {concepts: ["puppies"]}, limit: 1){title}} '
        "Aggregate{Doc{meta{count}}}}"
    )
    assert answer.get == {"Book": [{"title": "dogs bark at night"}]}
    assert answer.aggregate == {"Doc": [{"meta": {"count": 3}}]}
    answer = client.graphql_raw_query("{Get{Missing{text}}}")
    assert "Cannot query field 'Missing'" in answer.errors[0]["message"]

    # Removing.
    assert docs.data.delete_by_id(third)
    assert not docs.data.exists(third)
    assert not docs.data.delete_by_id(third)
    client.collections.delete("Doc")
    assert not client.collections.exists("Doc")
    client.collections.delete_all()
    assert client.collections.list_all() == {}

assert "401" in refused(connected, "wrong")
