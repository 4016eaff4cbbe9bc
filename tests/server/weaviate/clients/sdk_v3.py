"""What users of weaviate-client 3 do, run in an interpreter of its own: ADDRESS KEY."""

from __future__ import annotations

import sys
import uuid
from typing import Any

import weaviate
from sdk_refused import error_of
from weaviate.exceptions import UnexpectedStatusCodeException

ADDRESS, KEY = sys.argv[1:]
TEXTS = ["Paris is the capital of France", "Berlin is in Germany", "A capital letter"]
DOC = {
    "class": "Doc",
    "vectorizer": "none",
    "moduleConfig": {"reranker-transformers": {}},
    "properties": [
        {"name": "text", "dataType": ["text"]},
        {"name": "year", "dataType": ["int"]},
        {"name": "tags", "dataType": ["text[]"]},
    ],
}
RERANK = 'rerank(property: "text" query: "capital of France") { score }'


def raised(status: int, do: Any, *arguments: Any, **options: Any) -> str:
    """Return what the client says of a request that is refused."""
    error = error_of(UnexpectedStatusCodeException, do, *arguments, **options)
    assert error.status_code == status, error
    return str(error)


def rows(query: Any) -> list[dict[str, Any]]:
    answer = query.do()
    assert "errors" not in answer, answer
    ((_, found),) = answer["data"]["Get"].items()
    return list(found)


def texts(query: Any) -> list[str]:
    return [row["text"] for row in rows(query)]


def wrong(query: Any) -> str:
    (error,) = query.do()["errors"]
    return str(error["message"])


client = weaviate.Client(ADDRESS, auth_client_secret=weaviate.AuthApiKey(KEY))
assert client.is_ready()
assert client.is_live()
assert client.get_meta()["version"] >= "1.27.0"

# Classes.
client.schema.create_class(DOC)
client.schema.create(
    {
        "classes": [
            {"class": "Author", "properties": [{"name": "name", "dataType": ["text"]}]},
            {
                "class": "Book",
                "vectorizer": "text2vec-transformers",
                "properties": [
                    {"name": "title", "dataType": ["text"]},
                    {"name": "by", "dataType": ["Author"]},
                ],
            },
        ]
    }
)
assert client.schema.exists("Doc")
assert not client.schema.exists("Missing")
assert client.schema.contains(DOC)
assert {c["class"] for c in client.schema.get()["classes"]} == {"Author", "Book", "Doc"}
assert client.schema.get("Book")["properties"][1]["dataType"] == ["Author"]
assert "already exists" in raised(422, client.schema.create_class, DOC)
client.schema.property.create("Doc", {"name": "price", "dataType": ["number"]})
client.schema.update_config("Doc", {"description": "what is said"})
assert client.schema.get("Doc")["description"] == "what is said"

# Objects, one at a time.
first = client.data_object.create({"text": "x"}, "Doc", vector=[0.5, 0.5, 0])
assert client.data_object.exists(first, class_name="Doc")
assert client.data_object.get_by_id(first, class_name="Doc")["properties"] == {"text": "x"}
client.data_object.update({"year": 5}, "Doc", first)
client.data_object.replace({"text": "y"}, "Doc", first, vector=[1, 0, 0])
there = client.data_object.get_by_id(first, class_name="Doc", with_vector=True)
assert (there["properties"], there["vector"]) == ({"text": "y"}, [1, 0, 0])
raised(404, client.data_object.update, {"year": 5}, "Doc", str(uuid.uuid4()))
raised(404, client.data_object.delete, str(uuid.uuid4()), class_name="Doc")
message = raised(422, client.data_object.create, {"text": 5}, "Doc")
assert "invalid text property 'text'" in message
client.data_object.delete(first, class_name="Doc")
assert client.data_object.get_by_id(first, class_name="Doc") is None

# Batches.
results: list[dict[str, Any]] = []
with client.batch(batch_size=10, callback=lambda some: results.extend(some)) as batch:
    for number, text in enumerate(TEXTS):
        values = {"text": text, "year": 2000 + number, "tags": [f"t{number}", "all"]}
        batch.add_data_object(values, "Doc", vector=[1, number, 0])
    batch.add_data_object({"text": 5}, "Doc")
statuses = [one["result"]["status"] for one in results]
assert sorted(statuses) == ["FAILED", "SUCCESS", "SUCCESS", "SUCCESS"]
client.batch.configure(batch_size=2, dynamic=True)
with client.batch as batch:
    for title in ("dogs bark at night", "the stock market fell"):
        batch.add_data_object({"title": title}, "Book")
listed = client.data_object.get(class_name="Doc", limit=2, with_vector=True)
assert len(listed["objects"]) == 2
again = client.data_object.get(class_name="Doc", after=listed["objects"][1]["id"])
assert len(again["objects"]) == 1
by_year = client.data_object.get(
    class_name="Doc", sort={"properties": ["year"], "order_asc": [False]}
)
assert [one["properties"]["text"] for one in by_year["objects"]] == TEXTS[::-1]

# Queries.
get = client.query.get
bm25 = get("Doc", ["text"]).with_bm25("capital").with_limit(5)
found = rows(bm25.with_additional(f"score {RERANK}"))
assert [row["text"] for row in found] == [TEXTS[0], TEXTS[2]]
scores = [row["_additional"]["rerank"] for row in found]
assert [len(one) for one in scores] == [1, 1]
assert scores[0][0]["score"] > scores[1][0]["score"]
assert isinstance(found[0]["_additional"]["score"], str)
near = {"vector": [1, 0, 0]}
asked = ["id", "distance", "certainty", "vector", "creationTimeUnix"]
found = rows(get("Doc", ["text"]).with_near_vector(near).with_additional(asked).with_limit(1))
assert found[0]["_additional"]["vector"] == [1, 0, 0]
assert abs(found[0]["_additional"]["distance"]) < 1e-6
name = found[0]["_additional"]["id"]
assert texts(get("Doc", ["text"]).with_near_object({"id": name})) == TEXTS
after = texts(get("Doc", ["text"]).with_near_vector(near).with_limit(1).with_offset(2))
assert after == [TEXTS[2]]
assert texts(get("Doc", ["text"]).with_bm25("capital", properties=["text^2"])) != []
hybrid = get("Doc", ["text"]).with_hybrid("capital", alpha=0.8, vector=[1, 0, 0])
assert texts(hybrid.with_additional("score explainScore"))[0] == TEXTS[0]
recent = {"path": ["year"], "operator": "GreaterThan", "valueInt": 2000}
tagged = {"path": ["tags"], "operator": "ContainsAny", "valueTextArray": ["t0", "t1"]}
both = {"operator": "And", "operands": [recent, tagged]}
assert texts(get("Doc", ["text"]).with_where(both)) == [TEXTS[1]]
like = {"path": ["text"], "operator": "Like", "valueText": "ger*"}
assert texts(get("Doc", ["text"]).with_where(like)) == [TEXTS[1]]
quoted = {"path": ["text"], "operator": "Equal", "valueText": 'it\'s "x" OR 1=1'}
assert texts(get("Doc", ["text"]).with_where(quoted)) == []
sort = {"path": ["year"], "order": "desc"}
assert texts(get("Doc", ["text"]).with_sort(sort)) == TEXTS[::-1]
concepts = {"concepts": ["puppies"], "distance": 1.5}
found = rows(get("Book", ["title"]).with_near_text(concepts).with_additional("distance"))
assert found[0]["title"] == "dogs bark at night"
alias = get("Doc", ["text"]).with_limit(1).with_alias("one")
assert len(client.query.multi_get([alias, get("Book", ["title"])]).do()["data"]["Get"]) == 2
assert "Unknown argument 'nearText'" in wrong(get("Doc", ["text"]).with_near_text(concepts))
assert "Cannot query field 'missing'" in wrong(get("Doc", ["missing"]))
group = "group{id groupedBy{path value} count hits{text _additional{distance}}}"
grouped = get("Doc", ["text"]).with_near_vector(near).with_group_by(["text"], 2, 2)
found = rows(grouped.with_additional(group))
assert [row["_additional"]["group"]["id"] for row in found] == [0, 1]
assert [row["_additional"]["group"]["groupedBy"]["value"] for row in found] == [
    row["text"] for row in found
]
assert [row["_additional"]["group"]["count"] for row in found] == [1, 1]
assert "multi-tenancy disabled" in wrong(get("Doc", ["text"]).with_tenant("t"))
count = client.query.aggregate("Doc").with_meta_count()
assert count.do() == {"data": {"Aggregate": {"Doc": [{"meta": {"count": 3}}]}}}
assert count.with_where(recent).do()["data"]["Aggregate"]["Doc"] == [{"meta": {"count": 2}}]
raw = client.query.raw("{Get{Doc(limit: 1){text}}}")
assert len(raw["data"]["Get"]["Doc"]) == 1
assert "Syntax Error" in client.query.raw("{")["errors"][0]["message"]

# Removing.
dry = client.batch.delete_objects("Doc", recent, output="verbose", dry_run=True)
assert (dry["results"]["matches"], dry["results"]["successful"]) == (2, 0)
done = client.batch.delete_objects("Doc", recent, output="minimal")
assert done["results"]["successful"] == 2
nodes = client.cluster.get_nodes_status()
assert nodes[0]["stats"]["objectCount"] == 3
client.schema.delete_class("Doc")
assert not client.schema.exists("Doc")
client.schema.delete_all()
assert client.schema.get() == {"classes": []}

# With a key that is not valid.
stranger = weaviate.auth.AuthApiKey("wrong")
assert "not valid" in raised(
    401, weaviate.Client, ADDRESS, auth_client_secret=stranger, startup_period=None
)
