"""A server with the published search API of Elasticsearch or OpenSearch, in memory.

It has what the references say of the requests that the adapters send, and answers 400 to
everything else: an unknown part of a query, a field that is not mapped, a value of another
type. It is no copy of either engine; scores are BM25 over one shard.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import numpy as np

Flavor = Literal["elasticsearch", "opensearch"]
_NUMBERS = ("long", "integer", "double", "float")


class BadRequest(Exception):
    """What the engine answers 400 to."""


class SearchEngine:
    """Indexes by name, and the requests that came, each as (method, path, body)."""

    def __init__(self, flavor: Flavor, password: str | None = None) -> None:
        self.flavor, self.password = flavor, password
        self.mappings: dict[str, dict[str, Any]] = {}
        self.documents: dict[str, dict[str, dict[str, Any]]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.lock = threading.Lock()
        self.sockets: set[Any] = set()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                engine.sockets.add(self.connection)

            def finish(self) -> None:
                engine.sockets.discard(self.connection)
                with suppress(OSError):
                    super().finish()

            def log_message(self, *_: Any) -> None:
                pass

            def do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = engine.answer(self.command, self.path, body, self.headers)
                data = json.dumps(answer).encode()
                self.send_response(status)
                if engine.flavor == "elasticsearch":
                    self.send_header("X-Elastic-Product", "Elasticsearch")
                # The client asks for the media type of its version, and wants it back.
                accepted = self.headers.get("Accept") or "application/json"
                self.send_header("Content-Type", accepted.split(",")[0])
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.drop()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def drop(self) -> None:
        """Cut all connections."""
        for connection in list(self.sockets):
            with suppress(OSError):
                connection.shutdown(2)

    def create(self, index: str, properties: dict[str, Any]) -> None:
        self.mappings[index], self.documents[index] = properties, {}

    def put(self, index: str, key: str, source: dict[str, Any]) -> None:
        with self.lock:
            self.documents[index] = {**self.documents[index], key: source}

    def delete(self, index: str, key: str) -> None:
        with self.lock:
            self.documents[index] = {k: v for k, v in self.documents[index].items() if k != key}

    def answer(self, method: str, path: str, body: Any, headers: Any) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        self.requests.append((method, f"{path}?{query}" if query else path, body))
        if self.password is not None and not self._allowed(headers.get("Authorization", "")):
            return 401, _error(401, "security_exception", "missing authentication credentials")
        if path == "/":
            number = {"elasticsearch": "9.2.0", "opensearch": "3.3.0"}[self.flavor]
            version: dict[str, Any] = {"number": number}
            if self.flavor == "opensearch":
                version["distribution"] = "opensearch"
            return 200, {"name": "node", "cluster_name": "loopback", "version": version}
        if path == "/_alias":
            return 200, {name: {"aliases": {}} for name in self.mappings}
        _, index, action = [*path.split("/"), ""][:3]
        if index not in self.mappings:
            return 404, _error(404, "index_not_found_exception", f"no such index [{index}]")
        documents = self.documents[index]
        if action == "_mapping":
            return 200, {index: {"mappings": {"properties": self.mappings[index]}}}
        if action == "_count":
            return 200, {"count": len(documents), "_shards": _SHARDS}
        if action != "_search" or body is None:
            return 405, _error(405, "illegal_argument_exception", f"{method} {path}")
        try:
            hits = Search(self.flavor, self.mappings[index], documents).run(body)
        except BadRequest as error:
            return 400, _error(400, "parsing_exception", str(error))
        for hit in hits:
            hit["_index"] = index
        best = max((hit["_score"] for hit in hits), default=None)
        found = {"max_score": best, "hits": hits}
        return 200, {"took": 1, "timed_out": False, "_shards": _SHARDS, "hits": found}

    def _allowed(self, header: str) -> bool:
        import base64

        kind, _, value = header.partition(" ")
        if kind == "Basic":
            return base64.b64decode(value).decode().endswith(f":{self.password}")
        return kind == "ApiKey" and value == self.password


_SHARDS = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}


def _error(status: int, kind: str, reason: str) -> dict[str, Any]:
    cause = {"type": kind, "reason": reason}
    return {"error": {"root_cause": [cause], **cause}, "status": status}


def _only(part: Mapping[str, Any], allowed: Iterable[str], where: str) -> None:
    if unknown := set(part) - set(allowed):
        raise BadRequest(f"[{where}] unknown field [{sorted(unknown)[0]}]")


def analyze(text: str) -> list[str]:
    """Split as the standard analyzer does, near enough: words in lower case."""
    return re.findall(r"\w+", text.lower())


Scores = dict[str, float]


class Search:
    """One search over the documents of an index."""

    def __init__(
        self, flavor: Flavor, properties: dict[str, Any], documents: dict[str, dict[str, Any]]
    ) -> None:
        self.flavor, self.documents = flavor, documents
        self.types: dict[str, dict[str, Any]] = {}
        for name, mapping in properties.items():
            self.types[name] = mapping
            for sub, inner in mapping.get("fields", {}).items():
                self.types[f"{name}.{sub}"] = inner

    def run(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        known = {"query", "size", "track_total_hits", "_source", "fields"}
        _only(body, known | ({"knn"} if self.flavor == "elasticsearch" else set()), "search")
        size = body.get("size", 10)
        if not 0 <= size <= 10_000:
            raise BadRequest("Result window is too large")
        scores = self.query(body["query"]) if "query" in body else {}
        if "knn" in body:
            scores = self.elastic_knn(body["knn"])
        order = sorted(scores, key=lambda key: (-scores[key], key))[:size]
        return [self.hit(key, scores[key], body) for key in order]

    def hit(self, key: str, score: float, body: dict[str, Any]) -> dict[str, Any]:
        source = dict(self.documents[key])
        hidden = list(body.get("_source", {}).get("excludes", []))
        if self.flavor == "elasticsearch":
            # Since 9.2, vectors are left out of _source.
            hidden += [n for n, m in self.types.items() if m["type"] == "dense_vector"]
        hit: dict[str, Any] = {"_id": key, "_score": score}
        hit["_source"] = {n: v for n, v in source.items() if n not in hidden}
        if fields := {n: source[n] for n in body.get("fields", []) if n in source}:
            hit["fields"] = fields
        return hit

    def query(self, query: dict[str, Any]) -> Scores:
        if len(query) != 1:
            raise BadRequest("[bool] malformed query, expected one key")
        ((kind, body),) = query.items()
        handler: Callable[[Any], Scores] | None = getattr(self, f"_{kind}", None)
        if handler is None or (kind == "knn" and self.flavor == "elasticsearch"):
            raise BadRequest(f"unknown query [{kind}]")
        return handler(body)

    def _match_all(self, body: dict[str, Any]) -> Scores:
        _only(body, (), "match_all")
        return dict.fromkeys(self.documents, 1.0)

    def _bool(self, body: dict[str, Any]) -> Scores:
        names = ("must", "filter", "should", "must_not", "minimum_should_match")
        _only(body, names, "bool")
        scores = dict.fromkeys(self.documents, 0.0)
        for word in ("must", "filter"):
            for part in body.get(word, []):
                found = self.query(part)
                added = found if word == "must" else dict.fromkeys(found, 0.0)
                scores = {k: s + added[k] for k, s in scores.items() if k in added}
        for part in body.get("must_not", []):
            gone = self.query(part)
            scores = {k: s for k, s in scores.items() if k not in gone}
        if should := [self.query(part) for part in body.get("should", [])]:
            least = body.get("minimum_should_match", 0 if "must" in body else 1)
            counts = Counter(key for found in should for key in found)
            scores = {k: s for k, s in scores.items() if counts[k] >= least}
        return scores

    def _multi_match(self, body: dict[str, Any]) -> Scores:
        _only(body, ("query", "fields", "analyzer"), "multi_match")
        best: Scores = {}
        for field in body["fields"]:
            if self._type(field) != "text":
                raise BadRequest(f"field [{field}] is no text")
            for key, score in self.bm25(field, body["query"]).items():
                best[key] = max(score, best.get(key, 0.0))
        return best

    def bm25(self, field: str, query: str) -> Scores:
        words = {k: Counter(analyze(d.get(field) or "")) for k, d in self.documents.items()}
        words = {k: counts for k, counts in words.items() if counts}
        mean = sum(c.total() for c in words.values()) / max(1, len(words))
        scores: Scores = {}
        for word in set(analyze(query)):
            having = {k: c for k, c in words.items() if word in c}
            idf = math.log(1 + (len(words) - len(having) + 0.5) / (len(having) + 0.5))
            for key, counts in having.items():
                norm = 1.2 * (0.25 + 0.75 * counts.total() / mean)
                part = idf * counts[word] / (counts[word] + norm)
                scores[key] = scores.get(key, 0.0) + part
        return scores

    def _term(self, body: dict[str, Any]) -> Scores:
        ((field, part),) = body.items()
        _only(part, ("value",), "term")
        return self._terms({field: [part["value"]]})

    def _terms(self, body: dict[str, Any]) -> Scores:
        ((field, values),) = body.items()
        wanted = {self._value(field, value) for value in values}
        return self._where(field, lambda value: value in wanted)

    def _range(self, body: dict[str, Any]) -> Scores:
        ((field, part),) = body.items()
        _only(part, ("lt", "lte", "gt", "gte"), "range")
        tests: dict[str, Callable[[Any, Any], bool]] = {
            "lt": lambda a, b: a < b,
            "lte": lambda a, b: a <= b,
            "gt": lambda a, b: a > b,
            "gte": lambda a, b: a >= b,
        }
        limits = [(tests[name], self._value(field, value)) for name, value in part.items()]
        return self._where(field, lambda value: all(t(value, limit) for t, limit in limits))

    def _exists(self, body: dict[str, Any]) -> Scores:
        _only(body, ("field",), "exists")
        return self._where(body["field"], lambda value: True)

    def _wildcard(self, body: dict[str, Any]) -> Scores:
        ((field, part),) = body.items()
        _only(part, ("value", "case_insensitive"), "wildcard")
        if self._type(field) != "keyword":
            raise BadRequest("[wildcard] the field is no keyword")
        pattern, characters = "", iter(part["value"])
        for character in characters:
            if character == "\\":
                pattern += re.escape(next(characters, "\\"))
            else:
                pattern += {"*": ".*", "?": "."}.get(character, re.escape(character))
        flags = re.DOTALL | (re.IGNORECASE if part.get("case_insensitive") else 0)
        return self._where(field, lambda v: re.fullmatch(pattern, v, flags) is not None)

    def elastic_knn(self, body: dict[str, Any]) -> Scores:
        _only(body, ("field", "query_vector", "k", "num_candidates", "filter"), "knn")
        if not body["k"] <= body["num_candidates"] <= 10_000:
            raise BadRequest("[knn] [num_candidates] must be between [k] and 10000")
        mapping = self.types[body["field"]]
        dots = self._dots(body["field"], body["query_vector"], mapping["dims"], body)
        similarity = mapping.get("similarity", "cosine")
        return {k: _SCORES[similarity](dot) for k, dot in dots[: body["k"]]}

    def _knn(self, body: dict[str, Any]) -> Scores:
        ((field, part),) = body.items()
        _only(part, ("vector", "k", "filter"), "knn")
        mapping = self.types[field]
        dots = self._dots(field, part["vector"], mapping["dimension"], part)
        space = mapping.get("space_type", "l2")
        return {k: _SCORES[space](dot) for k, dot in dots[: part["k"]]}

    def _dots(
        self, field: str, vector: list[float], size: int, body: dict[str, Any]
    ) -> list[tuple[str, float]]:
        if len(vector) != size:
            raise BadRequest(f"vector has {len(vector)} dimensions, the field has {size}")
        passing = self.query(body["filter"]) if "filter" in body else self.documents
        found = [
            (key, float(np.dot(vector, document[field])))
            for key, document in self.documents.items()
            if key in passing and document.get(field) is not None
        ]
        return sorted(found, key=lambda pair: -pair[1])

    def _type(self, field: str) -> str:
        if field == "_id":
            return "keyword"
        if field not in self.types:
            raise BadRequest(f"No mapping found for [{field}]")
        return str(self.types[field]["type"])

    def _value(self, field: str, value: Any) -> Any:
        kind = self._type(field)
        if kind in _NUMBERS and isinstance(value, int | float) and type(value) is not bool:
            return value
        if kind == "boolean" and type(value) is bool:
            return value
        if kind == "keyword" and isinstance(value, str):
            return value
        if kind == "date" and isinstance(value, str):
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        raise BadRequest(f"failed to create query: [{value!r}] for [{field}] of [{kind}]")

    def _where(self, field: str, test: Callable[[Any], bool]) -> Scores:
        self._type(field)
        found = {}
        name = field.rpartition(".")[0] if field not in self.documents else field
        for key, document in self.documents.items():
            value = key if field == "_id" else document.get(field, document.get(name))
            if value is not None and test(self._value(field, value)):
                found[key] = 1.0
        return found


_SCORES: dict[str, Callable[[float], float]] = {
    **dict.fromkeys(("cosine", "dot_product", "cosinesimil"), lambda dot: (1 + dot) / 2),
    **dict.fromkeys(("l2", "l2_norm"), lambda dot: 1 / (1 + max(0.0, 2 - 2 * dot))),
    **dict.fromkeys(
        ("max_inner_product", "innerproduct"),
        lambda dot: dot + 1 if dot >= 0 else 1 / (1 - dot),
    ),
}
