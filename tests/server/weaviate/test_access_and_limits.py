"""Who may ask, what others see, what stays, and what happens when there is too much."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from tests.server.conftest import running, serving
from tests.server.load import busy, until
from tests.server.weaviate.conftest import Database, settings, text_property

RERANK = '_additional{rerank(property: "text", query: "river"){score}}'


@pytest.fixture
def with_key() -> Iterator[Callable[[str, str | None], Database]]:
    with ExitStack() as stack:

        def made(url: str, key: str | None) -> Database:
            headers = {} if key is None else {"authorization": f"bearer {key}"}
            client = httpx2.Client(base_url=url, headers=headers, timeout=30)
            return Database(url, stack.enter_context(client))

        yield made


def test_keys_and_scopes(
    model: str, tmp_path: Path, with_key: Callable[[str, str | None], Database]
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    reads, writes = keys.create("reads", ["search"]), keys.create("writes", ["write"])
    ranks = keys.create("ranks", ["rerank"])
    with serving(settings(model, tmp_path, keys=keys.file)) as url:
        for path in ("/.well-known/ready", "/.well-known/live"):
            with_key(url, None).send("GET", path)
        with_key(url, None).error("GET", "/.well-known/openid-configuration", status=404)
        for key in (None, "wrong", "sp-00000000-wrong"):
            for method, path in (("GET", "/meta"), ("GET", "/schema"), ("POST", "/graphql")):
                assert "key" in with_key(url, key).error(method, path, {}, status=401)
        with_key(url, writes).send("POST", "/schema", {"class": "Doc"})
        with_key(url, writes).error("GET", "/schema", status=403)
        with_key(url, reads).send("GET", "/schema/Doc")
        with_key(url, reads).send("POST", "/graphql", {"query": "{Get{Doc{_additional{id}}}}"})
        for method, path in (
            ("POST", "/schema"),
            ("DELETE", "/schema/Doc"),
            ("POST", "/objects"),
            ("POST", "/batch/objects"),
            ("DELETE", "/batch/objects"),
        ):
            assert "not for write" in with_key(url, reads).error(method, path, {}, 403)
        with_key(url, ranks).error("GET", "/meta", status=403)


def test_a_tenant_sees_nothing_of_another(
    model: str, tmp_path: Path, with_key: Callable[[str, str | None], Database]
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    tenants = [keys.create(name, ["admin"], tenant=name) for name in ("one", "two")]
    with serving(settings(model, tmp_path, keys=keys.file)) as url:
        one, two = (with_key(url, key) for key in tenants)
        one.send("POST", "/schema", {"class": "Secret", "properties": [text_property("text")]})
        (name,) = one.store("Secret", {"properties": {"text": "river"}, "vector": [1, 2]})
        path = f"/objects/Secret/{name}"
        assert two.send("GET", "/schema") == {"classes": []}
        assert two.send("GET", "/objects")["objects"] == []
        assert two.send("GET", "/nodes")["nodes"][0]["stats"]["objectCount"] == 0
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            two.error(method, path, {"properties": {}}, status=404)
        assert two.http.head(f"/v1{path}").status_code == 404
        for wanted in ("Secret", "../one/weaviate/Secret", "..%2Fone%2FSecret", "One/Secret"):
            answer = two.http.get(f"/v1/schema/{wanted}")
            assert answer.status_code in (404, 422, 501)
        assert "no schema is present" in two.error(
            "POST", "/graphql", {"query": "{Get{Secret{text}}}"}
        )
        two.send("POST", "/schema", {"class": "Own"})
        assert "Cannot query field 'Secret'" in two.query_error("Secret{text}")
        introspected = two.query("{__schema{types{name}}}")
        assert "Secret" not in str(introspected)
        where = {"path": ["text"], "operator": "Equal", "valueText": "river"}
        two.error(
            "DELETE", "/batch/objects", {"match": {"class": "Secret", "where": where}}, 404
        )
        two.send("POST", "/schema", {"class": "Secret", "properties": [text_property("text")]})
        assert two.get("Secret{text}") == []
        two.send("DELETE", "/schema/Secret")
        assert one.get("Secret{text _additional{id}}") == [
            {"text": "river", "_additional": {"id": name}}
        ]


def test_everything_is_there_after_a_restart(model: str, tmp_path: Path) -> None:
    where = '(where: {path: ["n"], operator: Equal, valueInt: 5})'
    query = "{Get{%s" + where + "{n text _additional{id vector creationTimeUnix}}}}"
    seen: dict[str, Any] = {}
    for _ in range(2):
        with serving(settings(model, tmp_path)) as url, httpx2.Client(base_url=url) as http:
            database = Database(url, http)
            if not seen:
                for name, vectorizer in (("Own", "none"), ("Made", "text2vec-transformers")):
                    database.send("POST", "/schema", {"class": name, "vectorizer": vectorizer})
                one: dict[str, Any] = {"properties": {"n": 5, "text": "river"}}
                database.send("PUT", "/schema/Own", database.send("GET", "/schema/Own"))
                database.send(
                    "POST",
                    "/schema/Own/properties",
                    {"name": "n", "dataType": ["int"]},
                )
                database.send(
                    "POST",
                    "/schema/Made/properties",
                    {"name": "n", "dataType": ["int"]},
                )
                database.store("Own", {**one, "vector": [1, 2]}, {"properties": {"n": 5}})
                database.store("Made", one)
                seen = {name: database.query(query % name) for name in ("Own", "Made")}
                assert all("errors" not in answer for answer in seen.values())
            assert seen == {name: database.query(query % name) for name in ("Own", "Made")}
            rows = database.get("Own(nearVector: {vector: [1, 2]}){n}")
            assert rows == [{"n": 5}]


def test_too_much_is_429_and_so_is_no_turn_in_time(model: str, tmp_path: Path) -> None:
    few = settings(model, tmp_path, most_waiting=100, timeout=2)
    with running(few) as found, httpx2.Client(base_url=found.url, timeout=20) as http:
        database = Database(found.url, http)
        database.send("POST", "/schema", {"class": "Doc", "vectorizer": "text2vec-x"})
        database.store("Doc", {"properties": {"text": "river " * 40}})
        query = {"query": f"{{Get{{Doc{{{RERANK}}}}}}}"}
        new = {"class": "Doc", "properties": {"text": "another river " * 40}}
        with ThreadPoolExecutor() as threads, busy(found) as let_go:
            first = threads.submit(database.error, "POST", "/graphql", query, 429)
            until(lambda: found.state.queue.waiting > 1)
            for path, body in (("/graphql", query), ("/objects", new)):
                answer = http.post(f"/v1{path}", json=body)
                assert answer.status_code == 429, answer.text
                assert int(answer.headers["retry-after"]) >= 1
                assert "busy" in answer.json()["error"][0]["message"]
            assert "busy" in first.result(20)
            let_go()
        until(lambda: found.state.queue.waiting == 0)
        database.send("POST", "/objects", new)
        assert len(database.get(f"Doc{{{RERANK}}}")) == 2


@pytest.mark.parametrize("storage", ["none", "no package"])
def test_a_class_is_not_acknowledged_where_nothing_could_be_stored(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    bare = ServerSettings(models=[model])
    status, said = 404, "--data"
    if storage == "no package":
        bare, status, said = settings(model, tmp_path), 501, "secondpass[index]"
        monkeypatch.setitem(sys.modules, "lancedb", None)
    with serving(bare) as url, httpx2.Client(base_url=url, timeout=20) as http:
        database = Database(url, http)
        assert said in database.error("POST", "/schema", {"class": "Doc"}, status)
        new = {"class": "Doc", "properties": {"text": "a river"}}
        assert said in database.error("POST", "/objects", new, status)
    assert not list(tmp_path.rglob("collection.json"))


def test_a_body_that_is_too_long_or_too_deep(model: str, tmp_path: Path) -> None:
    small = settings(model, tmp_path, max_body=1000, max_documents=2)
    with serving(small) as url, httpx2.Client(base_url=url, timeout=20) as http:
        database = Database(url, http)
        for path in ("/objects", "/batch/objects", "/graphql", "/schema"):
            message = database.error("POST", path, {"x": "y" * 2000}, 413)
            assert "longer than 1,000 bytes, the limit of this server" in message
        deep: Any = 1
        for _ in range(40):
            deep = {"a": deep}
        assert "deeper" in database.error("POST", "/objects", deep, 400)
        batch = {"objects": [{"class": "Doc"}] * 3}
        assert "at most 2" in database.error("POST", "/batch/objects", batch, 400)


def test_a_server_without_data_says_so(model: str) -> None:
    with (
        serving(ServerSettings(models=[model])) as url,
        httpx2.Client(base_url=url, timeout=20) as http,
    ):
        database = Database(url, http)
        database.send("GET", "/meta")
        assert "--data" in database.error("GET", "/schema", status=404)
        assert "--data" in database.error("POST", "/schema", {"class": "Doc"}, 404)


def test_many_writers_lose_nothing(database: Database) -> None:
    name = database.create_class()
    (row,) = database.store(name, {"properties": {"n0": 0}})
    path = f"/objects/{name}/{row}"

    def write(number: int) -> None:
        database.send("PATCH", path, {"properties": {f"n{number}": number}}, 204)
        database.store(name, {"properties": {f"m{number}": number}, "vector": [1, number]})

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(1, 13)))
    there = database.send("GET", path)["properties"]
    assert there == {f"n{number}": number for number in range(13)}
    declared = database.send("GET", f"/schema/{name}")["properties"]
    assert len(declared) == 13 + 12
    assert len(database.get(f"{name}(limit: 100){{_additional{{id}}}}")) == 13


def test_a_class_that_is_removed_while_it_is_written(database: Database) -> None:
    stop = threading.Event()
    name = database.create_class(properties=[text_property("text")])
    odd: list[int] = []

    def write() -> None:
        while not stop.is_set():
            body = {"class": name, "properties": {"text": "river"}}
            answer = database.http.post("/v1/objects", json=body)
            if answer.status_code != 200:
                odd.append(answer.status_code)

    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(write) for _ in range(2)]
        for _ in range(5):
            database.send("DELETE", f"/schema/{name}")
        stop.set()
        for one in waiting:
            one.result(20)
    assert odd == []
    database.send("DELETE", f"/schema/{name}")
    database.error("GET", f"/schema/{name}", status=404)


@pytest.mark.parametrize("batches", [1, 100])
def test_small_files_are_merged(
    database: Database, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    from secondpass.retrieve.backends.lance.store import LanceStore

    merged: list[int] = []
    optimize = LanceStore.optimize

    def counted(store: LanceStore, **more: Any) -> None:
        merged.append(1)
        optimize(store, **more)

    monkeypatch.setattr("secondpass.server.weaviate.writes._COMPACT_WRITES", 5)
    monkeypatch.setattr(LanceStore, "optimize", counted)
    name = database.create_class()
    for _ in range(min(batches, 12)):
        database.store(name, {"vector": [1, 2]})
    assert len(merged) == (0 if batches == 1 else 2)
    assert len(database.get(f"{name}{{_additional{{id}}}}")) == min(batches, 12)
