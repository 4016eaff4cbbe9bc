"""Every declared request field, sent to a server: what the reference says is what happens."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest

from secondpass.server.app import create_app
from secondpass.server.request_fields import (
    Honored,
    NoEffect,
    Refused,
    RequestFields,
    served_fields,
)
from secondpass.server.settings import ServerSettings
from tests.llm.server import KEY, Loopback, serving
from tests.server.cloudflare.conftest import BREAD, FRANCE, WHALES, put
from tests.server.field_examples import APIS, Api, Given, Wrong
from tests.server.library import library

SERVED = {fields.api: fields for fields in served_fields(create_app(ServerSettings()))}
FIELDS = [(api, name) for api, fields in SERVED.items() for name in fields.fields]
INSTANCE = "/client/v4/accounts/acc/ai-search/instances"
LONG = "\n\n".join(f"Chapter {n} tells of the capital number {n}. " * 6 for n in range(9))


class Sender:
    """Sends bodies, and returns all that can be seen of what they did."""

    def __init__(self, http: httpx2.Client, llm: Loopback) -> None:
        self.http, self._llm = http, llm

    def send(self, path: str, body: Mapping[str, Any]) -> tuple[httpx2.Response, Any]:
        self._llm.got.clear()
        response = self.http.post(path, json=body)
        # The delimiters of passages are random words.
        told = re.sub(r'(id|mark)=\\"\w+', "", json.dumps([g.body for g in self._llm.got]))
        kept = response.headers.get("cf-aig-cache-status")
        return response, (response.status_code, plain(response), kept, told)


def plain(response: httpx2.Response) -> Any:
    """Return a reply without ids, times, warnings and noise in scores."""
    text = re.sub(r"[0-9a-f]{32}", "ID", response.text)
    text = re.sub(r'"(created|created_at|completed_at)": ?\d+', r'"\1": 0', text)
    if not response.headers["content-type"].startswith("application/json"):
        return text
    value = json.loads(text, parse_float=lambda number: round(float(number), 3))
    if isinstance(value, dict):
        value.pop("warnings", None)
        if isinstance(value.get("meta"), dict):
            value["meta"].pop("warnings", None)
    return value


@pytest.fixture(scope="module")
def sender(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    pytest.importorskip("python_multipart", reason="the extra server is not installed")
    with serving() as llm, pytest.MonkeyPatch.context() as patch:
        llm.answer = lambda system, user: f"The capital of France is Paris [1]. {len(system)}"
        patch.setenv("OPENAI_BASE_URL", llm.openai)
        patch.setenv("OPENAI_API_KEY", KEY)
        folder = tmp_path_factory.mktemp("fields")
        models = [model, "bundled-tiny"]
        with library(folder, models=models, llm="openai/m-1") as found:
            headers = {"authorization": f"Bearer {found.keys['all']}"}
            with httpx2.Client(base_url=found.url, headers=headers, timeout=60) as http:
                fields = [{"field_name": "year", "data_type": "number"}]
                body = {"id": "shelf", "custom_metadata": fields, "chunk_size": 64}
                assert http.post(INSTANCE, json=body).status_code == 200
                files = {"france.md": FRANCE, "whales.md": WHALES, "bread.md": BREAD}
                for year, (name, text) in enumerate({**files, "long.md": LONG}.items()):
                    put(http, f"{INSTANCE}/shelf", name, text, year=year)
                yield Sender(http, llm)


def with_value(body: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return a copy of a body in which a field has a value, in the last object of a list."""
    changed = copy.deepcopy(dict(body))
    *path, last = name.split(".")
    place: Any = changed
    for part in path:
        if part.endswith("[]"):
            place = place[part.removesuffix("[]")][-1]
        else:
            place[part] = place[part] if isinstance(place.get(part), dict) else {}
            place = place[part]
    place[last] = value
    return changed


def test_every_declared_field_has_an_example_and_no_other() -> None:
    assert APIS.keys() == SERVED.keys()
    for name, api in APIS.items():
        assert api.examples.keys() == SERVED[name].fields.keys(), name


@pytest.mark.parametrize(("api", "name"), FIELDS)
def test_a_field_does_what_the_reference_says(sender: Sender, api: str, name: str) -> None:
    declared, known = SERVED[api].fields[name], APIS[api]
    example = known.examples[name]
    given = example if isinstance(example, Given) else Given(example)
    path, body = given.path or known.path, {**known.body, **given.body}
    response, before = sender.send(path, body)
    assert response.status_code == 200, response.text
    if isinstance(example, Wrong):
        assert_refused(sender, path, with_value(body, name, example.value), name)
    elif isinstance(declared, Honored):
        _, after = sender.send(path, with_value(body, name, given.value))
        assert after != before
        if declared.required:
            assert_refused(sender, path, with_value(body, name, None), name)
    elif isinstance(declared, NoEffect):
        changed, after = sender.send(path, with_value(body, name, given.value))
        assert after == before
        assert name in changed.headers["x-ignored-fields"].split(", ")
        assert f"{name} has no effect here: {declared.why}" in changed.headers["x-warnings"]
    else:
        told = assert_refused(sender, path, with_value(body, name, given.value), name)
        assert declared.why in told
        for value in declared.unless:
            _, after = sender.send(path, with_value(body, name, value))
            assert after == before


def assert_refused(sender: Sender, path: str, body: Mapping[str, Any], name: str) -> str:
    response, _ = sender.send(path, body)
    assert response.status_code == 400, response.text
    text = json.dumps(response.json(), ensure_ascii=False)
    assert name in text
    return text


@pytest.mark.parametrize("api", APIS)
def test_unknown_fields_follow_the_rule_of_the_api(sender: Sender, api: str) -> None:
    known: Api = APIS[api]
    fields: RequestFields = SERVED[api]
    _, before = sender.send(known.path, known.body)
    response, after = sender.send(known.path, {**known.body, "surely_unknown": 1})
    if fields.unknown == "refused":
        assert response.status_code == 400
        assert "surely_unknown" in response.text
        return
    assert after == before
    assert response.headers["x-ignored-fields"] == "surely_unknown"


def test_what_is_read_by_an_operation_is_declared() -> None:
    """Bodies that are JSON objects have declared fields, but for interfaces with their own."""
    undeclared = set()
    for route in create_app(ServerSettings()).routes:
        for operation in getattr(getattr(route, "endpoint", None), "operations", ()):
            reads = operation.read is not None and "POST" in (route.methods or ())
            if reads and operation.fields is None:
                undeclared.add(operation.dialect)
    # Weaviate's database and MCP have schemas of their own, which are not lists of options;
    # Cloudflare's instances and files are stored as they are sent.
    assert undeclared <= {"weaviate", "mcp", "cloudflare", "native"}


def test_refused_fields_say_why_in_a_clause() -> None:
    for fields in SERVED.values():
        for name, declared in fields.fields.items():
            if isinstance(declared, Refused | NoEffect):
                assert declared.why[0].islower() or declared.why[0] in "`T", (fields.api, name)
                assert not declared.why.endswith("."), (fields.api, name)
