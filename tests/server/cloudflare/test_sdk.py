"""The official Python client: all its calls and exceptions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.cloudflare.conftest import BREAD, FRANCE, WHALES
from tests.server.conftest import Running, running
from tests.server.load import busy

cloudflare = pytest.importorskip("cloudflare", reason="the group sdk is not installed")
pytest.importorskip("python_multipart", reason="the extra server is not installed")
# The client itself calls its older paths deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
AT: dict[str, Any] = {"account_id": "acc", "name": "default"}


Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def keyed(
    model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Running, Client]]:
    """A server with keys, and what gives a client by the name of a key."""
    folder: Path = tmp_path_factory.mktemp("keyed")
    file = KeyFile(folder / "keys.json")
    keys = {
        "ours": file.create("ours", ["search", "write"]),
        "reader": file.create("reader", ["search"]),
        "seldom": file.create("seldom", ["search"], per_minute=1),
        "theirs": file.create("theirs", ["search", "write"], tenant="other"),
        "nobody": "sp-00000000-nobody",
    }

    @cache
    def client(name: str) -> Any:
        base = f"{found.url}/client/v4"
        made = cloudflare.Cloudflare(api_token=keys[name], base_url=base, max_retries=0)
        return closing.enter_context(made)

    settings = ServerSettings(
        models=[model], data=folder / "data", keys=file.file, most_waiting=50
    )
    with running(settings) as found, ExitStack() as closing:
        yield found, client


@pytest.fixture(scope="module")
def cf(keyed: tuple[Running, Client]) -> Any:
    return keyed[1]("ours")


def uploaded(instances: Any, name: str, key: str, text: str, **more: Any) -> Any:
    file = {"file": (key, text.encode(), "text/markdown"), "wait_for_completion": True, **more}
    return instances.items.upload(name, **AT, file=file)


def test_create_upload_search_and_chat(cf: Any) -> None:
    inst = cf.aisearch.namespaces.instances
    method = {"vector": True, "keyword": True}
    made = inst.create(
        "default", account_id="acc", id="docs", index_method=method, reranking=True
    )
    assert (made.id, made.namespace, made.reranking) == ("docs", "default", True)
    assert isinstance(made.created_at, datetime)
    up = uploaded(inst, "docs", "a.md", FRANCE, metadata=json.dumps({"lang": "en"}))
    assert (up.status, up.key, up.chunks_count, up.error) == ("completed", "a.md", 1, None)
    assert up.metadata["lang"] == "en"
    assert up.metadata["filename"] == "a.md"
    assert [w.code for w in up.warnings] == ["custom_metadata_field_not_filterable"]
    uploaded(inst, "docs", "b/whales.md", WHALES)
    options = {
        "retrieval": {"retrieval_type": "hybrid", "match_threshold": 0},
        "reranking": {"enabled": True, "match_threshold": 0},
    }
    r = inst.search("docs", **AT, query="capital of France", aisearch_options=options)
    assert r.query_kind == "text"
    assert r.search_query == "capital of France"
    first = next(c for c in r.chunks if c.item.key == "a.md")
    assert first.text == FRANCE
    assert first.scoring_details.reranking_score == first.score
    assert first.scoring_details.keyword_rank == 1
    assert 0.5 < first.scoring_details.vector_score <= 1
    assert first.scoring_details.fusion_method == "rrf"
    assert [i.id for i in inst.list("default", account_id="acc")] == ["docs"]
    messages = [{"role": "user", "content": "capital of France?"}]
    c = inst.chat_completions("docs", **AT, messages=messages, aisearch_options=options)
    assert "[1]" in c.choices[0].message.content
    assert {k.item.key for k in c.chunks} == {"a.md", "b/whales.md"}
    assert c.object == "chat.completion"
    assert c.usage["total_tokens"] > 0
    stream = inst.with_streaming_response.chat_completions
    with stream("docs", **AT, messages=messages, stream=True, aisearch_options=options) as s:
        lines = [line for line in s.iter_lines() if line]
    assert lines[0] == "event: chunks"
    assert json.loads(lines[1].removeprefix("data: "))[0]["item"]["key"] in (
        "a.md",
        "b/whales.md",
    )
    assert lines[-1] == "data: [DONE]"
    frames = [json.loads(line.removeprefix("data: ")) for line in lines[2:-1]]
    assert {f["object"] for f in frames} == {"chat.completion.chunk"}
    told = "".join(f["choices"][0]["delta"].get("content", "") for f in frames)
    assert told == c.choices[0].message.content
    assert inst.stats("docs", **AT).completed == 2
    assert inst.stats("docs", **AT).engine.vectorize.vectors_count == 2
    assert inst.delete("docs", **AT).id == "docs"
    with pytest.raises(cloudflare.NotFoundError):
        inst.read("docs", **AT)


def test_items(cf: Any) -> None:
    inst = cf.aisearch.namespaces.instances
    inst.create("default", account_id="acc", id="files")
    first = uploaded(inst, "files", "x/a.md", FRANCE)
    uploaded(inst, "files", "x/b.txt", BREAD)
    listed = list(inst.items.list("files", **AT, per_page=1))
    assert {i.key for i in listed} == {"x/a.md", "x/b.txt"}
    where = {**AT, "id": "files"}
    for asked in (
        {"key": "x/a.md"},
        {"item_id": first.id},
        {"search": "A.MD"},
        {"metadata_filter": json.dumps({"filename": "x/a.md"})},
        {
            "status": "completed",
            "sort_by": "modified_at",
            "search": "a.md",
            "source": "builtin",
        },
    ):
        assert [i.id for i in inst.items.list("files", **AT, **asked)] == [first.id], asked
    assert list(inst.items.list("files", **AT, source="web-crawler:x")) == []
    assert inst.items.get(first.id, **where).checksum == first.checksum
    assert inst.items.download(first.id, **where).read() == FRANCE.encode()
    (chunk,) = inst.items.chunks(first.id, **where)
    assert (chunk.text, chunk.item.key) == (FRANCE, "x/a.md")
    again = inst.items.create_or_update(
        "files", **AT, key="x/a.md", next_action="INDEX", wait_for_completion=True
    )
    assert (again.id, again.status) == (first.id, "completed")
    synced = inst.items.sync(first.id, **where, next_action="INDEX", wait_for_completion=True)
    assert synced.status == "completed"
    logs = inst.items.logs(first.id, **where, limit=2)
    assert [entry.action for entry in logs] == ["completed", "queued"]
    assert logs[0].chunk_count == 1
    assert inst.items.delete(first.id, **where).key == "x/a.md"
    with pytest.raises(cloudflare.NotFoundError):
        inst.items.get(first.id, **where)
    with pytest.raises(cloudflare.NotFoundError, match="upload"):
        inst.items.create_or_update("files", **AT, key="x/a.md", next_action="INDEX")
    assert [i.key for i in inst.items.list("files", **AT)] == ["x/b.txt"]


def test_jobs_and_tokens(cf: Any) -> None:
    inst = cf.aisearch.namespaces.instances
    inst.create("default", account_id="acc", id="jobs")
    job = inst.jobs.create("jobs", **AT, description="again")
    where = {**AT, "id": "jobs"}
    assert (job.source, job.description) == ("user", "again")
    assert inst.jobs.get(job.id, **where).end_reason == "completed"
    assert inst.jobs.update(job.id, **where, action="cancel").end_reason == "completed"
    assert [j.id for j in inst.jobs.list("jobs", **AT)] == [job.id]
    notes = inst.jobs.logs(job.id, **where)
    assert [n.message for n in notes] == ["0 files are queued", "the job is completed"]
    old = cf.aisearch.instances
    assert [j.id for j in old.jobs.list("jobs", account_id="acc")] == [job.id]
    assert old.jobs.get(job.id, account_id="acc", id="jobs").id == job.id
    assert old.jobs.logs(job.id, account_id="acc", id="jobs")
    assert old.jobs.create("jobs", account_id="acc").id != job.id
    assert list(cf.aisearch.tokens.list(account_id="acc")) == []
    with pytest.raises(cloudflare.NotFoundError):
        cf.aisearch.tokens.read("t", account_id="acc")
    with pytest.raises(cloudflare.BadRequestError):
        cf.aisearch.tokens.create(account_id="acc", cf_api_id="a", cf_api_key="b", name="c")


def test_paths_without_a_namespace_mean_the_default_one(cf: Any) -> None:
    old, new = cf.aisearch.instances, cf.aisearch.namespaces.instances
    old.create(account_id="acc", id="old", max_num_results=3)
    assert new.read("old", **AT).max_num_results == 3
    uploaded(new, "old", "a.md", FRANCE)
    assert old.update("old", account_id="acc", score_threshold=0).score_threshold == 0
    assert old.read("old", account_id="acc").id == "old"
    assert "old" in [i.id for i in old.list(account_id="acc", search="OLD")]
    assert old.stats("old", account_id="acc").completed == 1
    assert old.search("old", account_id="acc", query="capital of France").chunks
    messages = [{"role": "user", "content": "the capital of France"}]
    assert old.chat_completions("old", account_id="acc", messages=messages).chunks
    assert old.delete("old", account_id="acc").id == "old"


def test_namespaces(cf: Any) -> None:
    spaces = cf.aisearch.namespaces
    made = spaces.create(account_id="acc", name="prod", description="ours")
    assert (made.name, made.description) == ("prod", "ours")
    with pytest.raises(cloudflare.ConflictError):
        spaces.create(account_id="acc", name="prod")
    assert {"default", "prod"} <= {n.name for n in spaces.list(account_id="acc")}
    assert [n.name for n in spaces.list(account_id="acc", search="OURS")] == ["prod"]
    for name, text in (("one", FRANCE), ("two", WHALES)):
        spaces.instances.create("prod", account_id="acc", id=name)
        file = {"file": (f"{name}.md", text.encode(), "text/markdown")}
        spaces.instances.items.upload(
            name, account_id="acc", name="prod", file={**file, "wait_for_completion": True}
        )
    options = {"instance_ids": ["one", "two", "none"], "retrieval": {"match_threshold": 0.1}}
    found = spaces.search("prod", account_id="acc", query="whales", aisearch_options=options)
    assert found.chunks[0].instance_id == "two"
    assert [(e.instance_id, "none" in e.message) for e in found.errors] == [("none", True)]
    nothing = {**options, "retrieval": {"return_on_failure": False}}
    with pytest.raises(cloudflare.NotFoundError):
        spaces.search("prod", account_id="acc", query="q", aisearch_options=nothing)
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    told = spaces.chat_completions(
        "prod", account_id="acc", messages=messages, aisearch_options=options
    )
    assert "[1]" in told.choices[0].message.content
    assert {c.instance_id for c in told.chunks} <= {"one", "two"}
    assert spaces.update("prod", account_id="acc", description="x").description == "x"
    params = {"enabled": True, "instances_allowed": ["one"]}
    public = spaces.update("prod", account_id="acc", public_endpoint_params=params)
    assert public.public_endpoint_id.startswith("ns-")
    wrong = {"enabled": True, "instances_allowed": ["none"]}
    with pytest.raises(cloudflare.BadRequestError) as caught:
        spaces.update("prod", account_id="acc", public_endpoint_params=wrong)
    assert caught.value.errors[0].code == 7097
    with pytest.raises(cloudflare.ConflictError):
        spaces.delete("prod", account_id="acc")
    for name in ("one", "two"):
        spaces.instances.delete(name, account_id="acc", name="prod")
    assert spaces.read("prod", account_id="acc").public_endpoint_params.instances_allowed == []
    spaces.delete("prod", account_id="acc")
    with pytest.raises(cloudflare.NotFoundError):
        spaces.read("prod", account_id="acc")
    with pytest.raises(cloudflare.BadRequestError):
        spaces.delete("default", account_id="acc")


def test_each_exception(keyed: tuple[Running, Client], cf: Any) -> None:
    client = keyed[1]
    inst = cf.aisearch.namespaces.instances
    inst.create("default", account_id="acc", id="errors")
    with pytest.raises(cloudflare.AuthenticationError) as caught:
        client("nobody").aisearch.namespaces.instances.read("errors", **AT)
    assert caught.value.errors[0].code == 10000
    with pytest.raises(cloudflare.PermissionDeniedError):
        client("reader").aisearch.namespaces.instances.create(
            "default", account_id="acc", id="other"
        )
    with pytest.raises(cloudflare.ConflictError) as taken:
        inst.create("default", account_id="acc", id="errors")
    assert taken.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(cloudflare.NotFoundError) as missing:
        inst.search("none", **AT, query="q")
    assert missing.value.errors[0].code == 7002
    for wrong in (
        {"id": "Upper"},
        {"id": "a--b"},
        {"id": "x" * 65},
        {"id": "x", "chunk_size": 63},
        {"id": "x", "type": "r2", "source": "bucket"},
        {"id": "x", "index_method": {"vector": False, "keyword": False}},
        {"id": "x", "custom_metadata": [{"field_name": "folder", "data_type": "text"}]},
    ):
        with pytest.raises(cloudflare.BadRequestError) as bad:
            inst.create("default", account_id="acc", **wrong)
        assert bad.value.errors[0].code == 7001
    with pytest.raises(cloudflare.NotFoundError):
        inst.create("nowhere", account_id="acc", id="x")
    with pytest.raises(cloudflare.APIStatusError) as large:
        uploaded(inst, "errors", "big.txt", "x" * (4 * 1024 * 1024 + 1))
    assert large.value.status_code == 413
    few = client("seldom").aisearch.namespaces.instances
    few.read("errors", **AT)
    with pytest.raises(cloudflare.RateLimitError) as often:
        few.read("errors", **AT)
    assert int(often.value.response.headers["retry-after"]) >= 1


def test_a_busy_server_is_a_rate_limit(keyed: tuple[Running, Client], cf: Any) -> None:
    found, _ = keyed
    inst = cf.aisearch.namespaces.instances
    inst.create("default", account_id="acc", id="busy", reranking=True, cache=False)
    text = "\n\n".join([FRANCE, WHALES, BREAD] * 30)
    assert uploaded(inst, "busy", "a.md", text).chunks_count > 1
    options = {"retrieval": {"match_threshold": 0}}
    with busy(found), pytest.raises(cloudflare.RateLimitError) as caught:
        inst.search("busy", **AT, query="capital", aisearch_options=options)
    assert caught.value.errors[0].code == 7007


def test_tenants_cannot_reach_each_others_instances(
    keyed: tuple[Running, Client], cf: Any
) -> None:
    inst = cf.aisearch.namespaces.instances
    inst.create("default", account_id="acc", id="ours")
    item = uploaded(inst, "ours", "a.md", FRANCE)
    other = keyed[1]("theirs").aisearch.namespaces
    theirs = other.instances
    assert list(theirs.list("default", account_id="acc")) == []
    where = {**AT, "id": "ours"}
    for reach in (
        lambda: theirs.read("ours", **AT),
        lambda: theirs.delete("ours", **AT),
        lambda: theirs.update("ours", **AT, paused=True),
        lambda: theirs.search("ours", **AT, query="capital"),
        lambda: theirs.items.get(item.id, **where),
        lambda: theirs.items.download(item.id, **where),
        lambda: theirs.items.delete(item.id, **where),
        lambda: uploaded(theirs, "ours", "b.md", "x"),
        lambda: list(theirs.items.list("ours", **AT)),
        lambda: other.search(
            "default", account_id="acc", query="q", aisearch_options={"instance_ids": ["ours"]}
        ),
        lambda: theirs.read("../../default/cloudflare-default/ours", **AT),
    ):
        with pytest.raises(cloudflare.NotFoundError):
            reach()
    theirs.create("default", account_id="acc", id="ours")
    assert list(theirs.items.list("ours", **AT)) == []
    assert [i.key for i in inst.items.list("ours", **AT)] == ["a.md"]
