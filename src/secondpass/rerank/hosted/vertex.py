"""Google Cloud's ranking API, of Vertex AI Search (Discovery Engine)."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from secondpass.errors import InputError, MissingExtraError
from secondpass.remote.client import HttpRequest, HttpResponse, RequestFailedError, Sign
from secondpass.remote.endpoint import ApiKey
from secondpass.rerank.hosted.provider import (
    Batch,
    BatchScores,
    Limits,
    Provider,
    json_value,
    scores_by_index,
)
from secondpass.types import ScoreKind

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Vertex(Provider):
    """The ranking API, with models such as "semantic-ranker-default-004".

    `project` is by default that of GOOGLE_CLOUD_PROJECT; `location` is that of the ranking
    configuration. The key is an OAuth access token, which lasts an hour; without one tokens
    come from Google's application default credentials, which takes the extra `vertex`.

    Source: "Improve search and RAG quality with ranking API" in Google Cloud's documentation.
    """

    name, title = "vertex", "Google Vertex AI"
    base_url = "https://discoveryengine.googleapis.com/v1"
    base_url_variables = ("GOOGLE_DISCOVERY_ENGINE_URL",)
    key_variables = ("GOOGLE_OAUTH_ACCESS_TOKEN",)
    key_required = False

    def __init__(self, *, project: str | None = None, location: str = "global") -> None:
        if project is None:
            project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        self.project, self.location = project.strip(), location.strip()
        for name, value in (("project", self.project), ("location", self.location)):
            # "example.com:name" is a project of an old kind.
            if not value.isascii() or not value.translate(_PUNCTUATION).isalnum():
                raise InputError(
                    f"Google Vertex AI needs the id of a {name}",
                    why=f"it is {value!r}" if value else "none is set",
                    fix="Set GOOGLE_CLOUD_PROJECT, or pass provider=Vertex(project=…).",
                )

    def limits(self, model: str) -> Limits:
        """Return 200 records, the limit of a request."""
        return Limits(documents=200)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity, from 0 to 1."""
        return ScoreKind.SIMILARITY

    def sign(self, key: ApiKey) -> Sign:
        """Return what adds the token, and the project that pays."""
        secret = key.reveal()
        token = _DefaultToken() if secret is None else None

        def sign(method: str, url: str, content: bytes) -> Mapping[str, str]:
            value = secret if token is None else token.read()
            return {"authorization": f"Bearer {value}", "x-goog-user-project": self.project}

        return sign

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request the scores of all records without their texts; an id is a position."""
        config = f"projects/{self.project}/locations/{self.location}/rankingConfigs"
        body = {
            "model": batch.model,
            "query": batch.query,
            "records": [
                {"id": str(position), "content": text}
                for position, text in enumerate(batch.documents)
            ],
            "topN": len(batch.documents),
            "ignoreRecordDetailsInResponse": True,
        }
        return HttpRequest(f"/{config}/default_ranking_config:rank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `records`; neither tokens nor billed queries are told."""
        records = json_value(response.body, "records")
        if not isinstance(records, list):
            raise ValueError("it has no list of records")
        rows = [{"id": _position(r), "score": json_value(r, "score")} for r in records]
        return BatchScores(
            scores_by_index(rows, len(batch.documents), score="score", index="id", low=0)
        )


_PUNCTUATION = str.maketrans("", "", "-.:")


def _position(record: object) -> object:
    """Return the position that a record's id is, or the id itself where it is none."""
    found = json_value(record, "id")
    is_number = isinstance(found, str) and found.isascii() and found.isdigit()
    return int(found) if is_number and len(found) < 9 else found


class _DefaultToken:
    """An access token of Google's application default credentials, renewed where it ends."""

    def __init__(self) -> None:
        try:
            import google.auth
            from google.auth.transport.requests import Request
        except ImportError as error:
            raise MissingExtraError(
                "Google Vertex AI without an access token",
                package="google-auth",
                extra="vertex",
            ) from error
        try:
            credentials, _ = google.auth.default(scopes=[SCOPE])
        except google.auth.exceptions.DefaultCredentialsError as error:
            raise InputError(
                "Google Vertex AI needs credentials",
                why=str(error).partition(". ")[0],
                fix="Run: gcloud auth application-default login, or set "
                "GOOGLE_OAUTH_ACCESS_TOKEN.",
            ) from None
        self._credentials: Any = credentials
        self._request, self._error = Request(), google.auth.exceptions.GoogleAuthError
        self._lock = threading.Lock()

    def read(self) -> str:
        """Return a token that is valid now; raises `RequestFailedError`."""
        with self._lock:
            if not self._credentials.valid:
                try:
                    self._credentials.refresh(self._request)
                except self._error as error:
                    raise RequestFailedError(
                        f"no access token: {error.args[0] if error.args else error!r}",
                        retryable=bool(getattr(error, "retryable", False)),
                    ) from None
            return str(self._credentials.token)
