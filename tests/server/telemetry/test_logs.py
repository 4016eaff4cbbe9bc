"""The server's lines: what is in them, and what must never be."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import InputError, Reranker
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from secondpass.server.telemetry.logs import LogFormatter, configure_logging
from tests.server.conftest import TEXTS, keyed, running
from tests.server.load import busy, sending, until
from tests.server.logged import Logged, logged

QUERY = "where does the riverzebra go"
SECRET_TEXT = "the seaquokka is deep"
BODY = {"model": "m", "query": QUERY, "documents": [*TEXTS, SECRET_TEXT]}


OTHERS = (
    *("/v1/chat/completions", "/v1/embeddings", "/v1/search", "/v1/graphql", "/v1/objects"),
    *("/v1/batch/objects", "/v1/schema", "/mcp", "/api/v1/indexes/sea/search", "/v1/models"),
    "/client/v4/accounts/acc/ai-search/instances/sea/search",
)


def record(message: str, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("secondpass.server", logging.INFO, "f", 1, message, None, None)
    made.fields = fields
    return made


def test_a_line_a_request_tells_who_asked_what_and_how_it_went(
    model: str, tmp_path: Path
) -> None:
    settings = keyed(tmp_path, model)
    key = KeyFile(tmp_path / "keys.json").create("box", ["rerank"], tenant="acme")
    with logged() as log, running(settings) as found:
        sent = {"authorization": f"Bearer {key}", "x-request-id": "mine-1"}
        for path in ("/v2/rerank?q=secretparameter", "/api/v1/rerank"):
            answer = httpx2.post(f"{found.url}{path}", json=BODY, headers=sent)
            assert answer.status_code == 200, log.text
            assert answer.headers["x-request-id"] == "mine-1"
        until(lambda: len(log.requests()) == 2)
        first, second = log.requests()
        assert (
            first.items()
            >= {
                "level": "info",
                "request_id": "mine-1",
                "key_id": key.split("-")[1],
                "tenant": "acme",
                "dialect": "cohere-v2",
                "method": "POST",
                "path": "/v2/rerank",
                "status": 200,
                "documents": 5,
                "waiting_tokens": 0,
            }.items()
        )
        assert first["ms"] > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first["time"])
        assert (second["dialect"], second["documents"]) == ("native", 5)
        assert "secretparameter" not in log.text


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_no_text_and_no_key_of_a_client_is_ever_logged(
    model: str, tmp_path: Path, form: str, level: str
) -> None:
    """A busy run in which everything goes wrong that can."""
    settings = keyed(tmp_path, model, most_waiting=150, max_body=3000, timeout=5)
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.create("box", ["rerank"])
    slow = keys.create("slow", ["rerank"], per_minute=1)
    sent = {"authorization": f"Bearer {key}"}
    with logged(form, level) as log, running(settings) as found:
        with httpx2.Client(base_url=found.url, headers=sent, timeout=20) as http:
            bodies: list[tuple[str, Any]] = [
                ("/v1/rerank", BODY),
                ("/v1/rerank", {**BODY, "query": [QUERY]}),
                ("/v1/rerank", {**BODY, "top_n": SECRET_TEXT}),
                ("/v2/rerank", {**BODY, "documents": SECRET_TEXT}),
                ("/api/v1/rerank", BODY),
                ("/api/v1/rerank", {**BODY, QUERY: SECRET_TEXT}),
                ("/score", {"text_1": QUERY, "text_2": [SECRET_TEXT]}),
                ("/rerank", {"query": QUERY, "texts": [SECRET_TEXT] * 200}),
            ]
            answers = [http.post(path, json=body).status_code for path, body in bodies]
            assert answers == [200, 400, 400, 400, 200, 400, 200, 413]
            assert http.post("/v1/rerank", content=SECRET_TEXT).status_code == 400
            assert http.get(f"/v1/rerank?api_key={key}").status_code == 405
            for path in OTHERS:
                told = {"query": QUERY, "model": SECRET_TEXT, "input": [QUERY], "q": QUERY}
                told |= {"messages": [{"role": "user", "content": QUERY}], "class": "Sea"}
                assert http.post(f"{path}?query={key}", json=told).status_code != 500
                assert http.get(path, params={"query": QUERY}).status_code != 500
            for other in (slow, slow, "sp-0-wrongsecret", ""):
                http.post("/v1/rerank", json=BODY, headers={"x-api-key": other})
                http.post("/v1/rerank", json=BODY, headers={"authorization": other})
        with sending(found.url) as send, busy(found) as let_go:
            waiting = [send("/v1/rerank", {**BODY, "key": key}, headers=sent) for _ in range(4)]
            until(lambda: sum(one.done() for one in waiting) >= 2)
            let_go()
            assert {one.result(20).status_code for one in waiting} == {429, 200}
    text = log.text
    assert text.count("request") > 15
    for secret in (
        key,
        slow,
        key.split("-", 2)[2],
        slow.split("-", 2)[2],
        "wrongsecret",
        "Bearer",
    ):
        assert secret not in text
    for word in ("riverzebra", "seaquokka", *TEXTS):
        assert word not in text


class BrokenError(Exception):
    """Quotes what a client sent, as errors of libraries do."""


@pytest.mark.parametrize("level", ["info", "debug"])
def test_an_unexpected_error_has_a_traceback_and_its_message_only_when_debugging(
    model: str, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise BrokenError(f"cannot read {SECRET_TEXT}")

    with logged(level=level) as log, running(ServerSettings(models=[model])) as found:
        monkeypatch.setattr(Reranker, "score_batch", broken)
        monkeypatch.setattr(Reranker, "score", broken)
        answer = httpx2.post(f"{found.url}/v1/rerank", json=BODY)
        assert answer.status_code == 500
        assert "seaquokka" not in answer.text
        until(lambda: bool(log.requests()))
        (told,) = [line for line in log.lines if line["message"] == "the request failed"]
        assert told["request_id"] == answer.headers["x-request-id"]
        assert "in broken" in told["traceback"]
        assert "BrokenError" in told["traceback"]
        assert ("seaquokka" in told["traceback"]) == (level == "debug")
        (request,) = log.requests()
        assert (request["level"], request["problem"]) == ("error", "failed")


def test_life_probes_and_paths_that_are_not_there(model: str) -> None:
    with logged() as log, running(ServerSettings(models=[model])) as found:
        for path in ("/health", "/ready", "/metrics", "/no/such"):
            httpx2.get(f"{found.url}{path}")
        until(lambda: bool(log.requests()))
    (request,) = log.requests()
    assert (request["path"], request["status"]) == ("/no/such", 404)
    assert request["request_id"]
    by_message = {line["message"]: line for line in log.lines}
    assert by_message["ready"]["models"] == [model]
    assert by_message["stopping"]["under_way"] == 0
    assert by_message["stopped"]["drained"] is True
    assert any("Application startup complete" in message for message in by_message)


@pytest.mark.filterwarnings("default")
def test_other_packages_are_heard_from_warnings_up_and_logging_is_put_back() -> None:
    before = logging.getLogger().handlers[:]
    with logged() as log:
        logging.getLogger("other").info("quiet")
        logging.getLogger("other").warning("loud\nand long")
        warnings.warn("look out", stacklevel=1)
    assert log.lines[0]["message"] == "loud\nand long"
    assert "look out" in log.lines[1]["message"]
    assert logging.getLogger().handlers == before
    with logged("off") as log:
        logging.getLogger("secondpass.server").error("nothing")
    assert log.text == ""


@given(st.text(), st.dictionaries(st.sampled_from(["path", "dialect"]), st.text()))
def test_whatever_is_in_it_a_record_is_one_line(message: str, fields: dict[str, str]) -> None:
    made = LogFormatter(as_json=True, messages=False).format(record("%s", **fields))
    assert len(made.splitlines()) == 1
    assert json.loads(made).items() >= fields.items()
    text = LogFormatter(as_json=False, messages=False).format(record(message, **fields))
    assert len(text.splitlines()) == 1
    text.encode("utf-8")


def test_a_chain_of_errors_is_told_to_its_end_without_messages() -> None:
    def groups() -> None:
        try:
            raise KeyError(SECRET_TEXT)
        except KeyError as error:
            raise ExceptionGroup(
                SECRET_TEXT, [InputError("no name", why=SECRET_TEXT)]
            ) from error

    made = record("x")
    try:
        groups()
    except ExceptionGroup:
        made.exc_info = sys.exc_info()
    text = LogFormatter(as_json=False, messages=False).format(made)
    assert "seaquokka" not in text
    for part in ("ExceptionGroup", "Caused by", "KeyError", "In a group", "no name"):
        assert part in text


@pytest.mark.parametrize(("form", "level"), [("xml", "info"), ("json", "loud"), ("", "")])
def test_what_cannot_be_is_refused(form: str, level: str) -> None:
    with pytest.raises(InputError), configure_logging(form, level):
        pass


def test_the_form_depends_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with configure_logging(None, "info"):
        logging.getLogger("secondpass.server").info("here")
    assert json.loads(capsys.readouterr().err)["message"] == "here"


def test_a_stream_that_fails_half_way_is_noted(model: str) -> None:
    """The status is 200 by then: the line says what happened all the same."""
    from starlette.routing import Route

    from secondpass.server.http_errors import HttpError, default_error
    from secondpass.server.request_handler import Operation, RequestHandler
    from secondpass.server.streaming import EventStream, data

    def frames() -> Iterator[str]:
        yield data("first")
        raise HttpError(502, "failed", f"no answer for {SECRET_TEXT}")

    operation = Operation(
        dialect="test",
        fail=default_error,
        scope=None,
        read=None,
        wants_stream=lambda query: True,
        stream=lambda state, context, query: EventStream(
            frames(), lambda error: data({"error": error.kind})
        ),
    )
    with logged() as log, running(ServerSettings(models=[model])) as found:
        app: Any = found.server.config.app
        handler = RequestHandler(found.state, None)
        app.router.routes.append(Route("/stream", handler.serve(operation)))
        assert '"error": "failed"' in httpx2.get(f"{found.url}/stream").text
        until(lambda: bool(log.requests()))
    assert Logged.requests(log)[0].items() >= {"status": 200, "problem": "failed"}.items()
    assert "seaquokka" not in log.text


def test_no_option_takes_a_secret() -> None:
    """What is on the command line is in the list of processes."""
    import typer.main

    from secondpass.cli.app import app

    command: Any = typer.main.get_command(app)
    several = [command.commands["serve"], *command.commands["keys"].commands.values()]
    secret = re.compile("key|token|secret|password|credential")
    for one in several:
        for parameter in one.params:
            if any(map(secret.search, parameter.opts)):
                assert parameter.opts == ["--keys"]
                assert type(parameter.type).__name__ == "TyperPath"
