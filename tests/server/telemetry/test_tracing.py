"""Traces: what spans there are, whose they are, and what is not in them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from secondpass import Reranker
from secondpass.observe import record_wait, stage
from secondpass.server.access.api_keys import KeyFile
from secondpass.server.settings import ServerSettings
from secondpass.server.telemetry.tracing_settings import make_traces
from tests.server.conftest import QUERY, TEXTS, keyed, running
from tests.server.load import busy, sending, until
from tests.server.logged import logged

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from secondpass.server.telemetry.tracing import Traces, make_provider

ASK = {"query": QUERY, "documents": TEXTS, "top_n": 2}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traced(spans: InMemorySpanExporter, *, queries: bool = False) -> Traces:
    return Traces(make_provider(SimpleSpanProcessor(spans)), queries=queries)


def finished(spans: InMemorySpanExporter, count: int) -> dict[str, Any]:
    """Return the spans by the first word of their names, once there are so many."""
    until(lambda: len(spans.get_finished_spans()) >= count)
    found = spans.get_finished_spans()
    assert len(found) == count
    return {span.name.split()[0]: span for span in found}


def test_a_request_its_wait_and_its_second_pass(
    model: str, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    settings = keyed(tmp_path, model)
    key = KeyFile(tmp_path / "keys.json").create("box", ["rerank"], tenant="acme")
    sent = {"authorization": f"Bearer {key}", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    with logged() as log, running(settings, traced(spans)) as found:
        answer = httpx2.post(f"{found.url}/v1/rerank?q=secretparameter", json=ASK, headers=sent)
        httpx2.get(f"{found.url}/health")
        by_name = finished(spans, 3)
        until(lambda: bool(log.requests()))
    request, rerank, queue = by_name["POST"], by_name["rerank"], by_name["queue"]
    assert f"{request.context.trace_id:032x}" == TRACE == log.requests()[0]["trace_id"]
    assert f"{request.parent.span_id:016x}" == PARENT
    assert rerank.parent.span_id == request.context.span_id
    assert queue.parent.span_id == rerank.context.span_id
    assert request.name == "POST /v1/rerank"
    assert (
        request.attributes.items()
        >= {
            "http.request.method": "POST",
            "http.route": "/v1/rerank",
            "url.path": "/v1/rerank",
            "http.response.status_code": 200,
            "secondpass.request_id": answer.headers["x-request-id"],
            "secondpass.key_id": key.split("-")[1],
            "secondpass.tenant": "acme",
            "secondpass.documents": 4,
        }.items()
    )
    name = Reranker(model).model
    assert rerank.name == f"rerank {name}"
    assert (
        rerank.attributes.items()
        >= {
            "openinference.span.kind": "RERANKER",
            "reranker.model_name": name,
            "reranker.top_k": 2,
            "gen_ai.operation.name": "rerank",
            "gen_ai.rerank.candidate.count": 4,
            "gen_ai.rerank.top_n": 2,
        }.items()
    )
    assert rerank.attributes["gen_ai.usage.input_tokens"] > 0
    assert request.start_time <= rerank.start_time <= rerank.end_time <= request.end_time
    # Its ends are converted from another clock.
    assert rerank.start_time - 10_000_000 <= queue.start_time <= queue.end_time
    assert queue.end_time <= rerank.end_time + 10_000_000
    assert request.resource.attributes["service.name"] == "secondpass"
    for span in by_name.values():
        told = span.to_json()
        for text in (QUERY, "secretparameter", key, *TEXTS):
            assert text not in told


def test_a_search_has_a_first_pass_and_queries_are_there_on_request(
    model: str, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    pytest.importorskip("lancedb", reason="the extra index is not installed")
    from starlette.routing import Route

    from secondpass import Index
    from secondpass.server.http_errors import default_error
    from secondpass.server.request_context import RequestContext
    from secondpass.server.request_handler import Operation, RequestHandler
    from secondpass.server.state import ServerState

    with Index.open(tmp_path / "sea", keep_states=False) as index:
        index.add(TEXTS)
    settings = ServerSettings(models=[model], indexes={"sea": tmp_path / "sea"})
    with running(settings, traced(spans, queries=True)) as found:
        app: Any = found.server.config.app
        handler = RequestHandler(found.state, None)

        def run(state: ServerState, context: RequestContext, query: None) -> Any:
            index = state.catalog.find("default", "sea").index
            return {"count": len(index.search(QUERY, candidates=3, top_k=2).results)}

        find = Operation(dialect="test", fail=default_error, scope=None, read=None, run=run)
        app.router.routes.append(Route("/find/{name}", handler.serve(find)))
        assert httpx2.get(f"{found.url}/find/sea").json() == {"count": 2}
        by_name = finished(spans, 4)
    first, rerank, request = by_name["retrieval"], by_name["rerank"], by_name["GET"]
    assert request.name == "GET /find/{name}"
    assert first.parent.span_id == rerank.parent.span_id == request.context.span_id
    assert first.end_time <= rerank.start_time
    assert (
        first.attributes.items()
        >= {
            "openinference.span.kind": "RETRIEVER",
            "gen_ai.operation.name": "retrieval",
            "gen_ai.retrieval.query.text": QUERY,
            "secondpass.mode": "hybrid",
            "secondpass.candidates": 3,
            "secondpass.documents": 3,
        }.items()
    )
    assert rerank.attributes["reranker.query"] == QUERY


def test_failures_are_marked_and_say_nothing_of_the_text(
    model: str, monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError(TEXTS[0])

    with running(ServerSettings(models=[model]), traced(spans)) as found:
        monkeypatch.setattr(Reranker, "score_batch", broken)
        monkeypatch.setattr(Reranker, "score", broken)
        assert httpx2.post(f"{found.url}/v1/rerank", json=ASK).status_code == 500
        by_name = finished(spans, 3)
    for name, kind in (("POST", "failed"), ("rerank", "RuntimeError")):
        assert by_name[name].status.status_code.name == "ERROR"
        assert by_name[name].attributes["error.type"] == kind
        assert TEXTS[0] not in by_name[name].to_json()
        assert not by_name[name].events


def test_what_was_never_begun_has_waited_to_its_end(
    model: str, spans: InMemorySpanExporter
) -> None:
    settings = ServerSettings(models=[model], timeout=0.3)
    with running(settings, traced(spans)) as found, sending(found.url) as send, busy(found):
        assert send().result(10).status_code == 429
        by_name = finished(spans, 3)
    waited_for = by_name["queue"].end_time - by_name["queue"].start_time
    assert waited_for > 200_000_000
    assert by_name["rerank"].attributes["error.type"] == "OverloadedError"
    assert by_name["POST"].status.status_code.name == "UNSET"


def test_an_answer_that_breaks_off_and_a_method_that_is_none(
    model: str, spans: InMemorySpanExporter
) -> None:
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def pieces() -> Any:
        yield "first"
        raise RuntimeError(TEXTS[0])

    async def answer(_: Any) -> Any:
        return StreamingResponse(pieces())

    with running(ServerSettings(models=[model]), traced(spans)) as found:
        app: Any = found.server.config.app
        app.router.routes.append(Route("/stream", answer))
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(f"{found.url}/stream")
        httpx2.request("ANYTHING", f"{found.url}/none")
        by_name = finished(spans, 2)
    assert by_name["GET"].attributes["error.type"] == "RuntimeError"
    assert by_name["GET"].status.description is None
    assert TEXTS[0] not in by_name["GET"].to_json()
    assert by_name["HTTP"].attributes["http.request.method"] == "_OTHER"


def test_no_watcher_is_needed() -> None:
    with stage("rerank", model="m") as told:
        told["tokens"] = 1
    record_wait("queue", 0.0, None)


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, Mapping[str, str], bytes]]]]:
    """A server that takes what exporters send; yields its address and what came."""
    taken: list[tuple[str, Mapping[str, str], bytes]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            taken.append((self.path, dict(self.headers), body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_spans_reach_a_collector_by_otlp(model: str) -> None:
    import gzip

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
    )

    with collector() as (url, taken):
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=ops",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "search",
        }
        with pytest.MonkeyPatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            traces = make_traces(None)
        assert traces is not None
        with running(ServerSettings(models=[model]), traces) as found:
            assert httpx2.post(f"{found.url}/v1/rerank", json=ASK).status_code == 200
    # The server has stopped: what was waiting to be sent is there.
    path, headers, body = taken[0]
    assert path == "/v1/traces"
    assert headers["x-tenant"] == "ops"
    sent = ExportTraceServiceRequest.FromString(gzip.decompress(body))
    (of_resource,) = sent.resource_spans
    told = {a.key: a.value.string_value for a in of_resource.resource.attributes}
    assert told["service.name"] == "search"
    names = [span.name.split()[0] for scope in of_resource.scope_spans for span in scope.spans]
    assert sorted(names) == ["POST", "queue", "rerank"]
