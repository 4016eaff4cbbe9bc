"""Rerankers on Amazon Bedrock, by the operation Rerank of its agent runtime."""

from __future__ import annotations

import os
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

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


class Bedrock(Provider):
    """Bedrock, with models such as "cohere.rerank-v3-5:0" and "amazon.rerank-v1:0".

    The model is an id, or a whole ARN. `region` is by default that of AWS_REGION,
    AWS_DEFAULT_REGION or the profile. Credentials are found as by boto3: environment, profile,
    container, instance. They sign each request; the operation takes no API keys. Found and
    renewed at the first request, as that may ask a server.

    Source: the service model bedrock-agent-runtime of 2023-07-26.
    """

    name, title = "bedrock", "Amazon Bedrock"
    base_url_variables = ("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", "AWS_ENDPOINT_URL")
    key_required = False

    def __init__(self, *, region: str | None = None) -> None:
        if region is None:
            values = (os.environ.get(name, "").strip() for name in REGION_VARIABLES)
            region = next((value for value in values if value), "") or _profile_region()
        self.region = region.strip()
        if not self.region.replace("-", "").isalnum() or not self.region.isascii():
            raise InputError(
                "Amazon Bedrock needs a region, such as us-west-2",
                why=f"it is {self.region!r}" if self.region else "none is configured",
                fix="Run: export AWS_REGION=us-west-2, or pass provider=Bedrock(region=…).",
            )
        self.base_url = f"https://bedrock-agent-runtime.{self.region}.amazonaws.com"

    def limits(self, model: str) -> Limits:
        """Return 1,000 documents of 32,000 characters."""
        return Limits(documents=1_000, characters=32_000)

    def score_kind(self, model: str) -> ScoreKind:
        """Return a similarity, from 0 to 1."""
        return ScoreKind.SIMILARITY

    def sign(self, key: ApiKey) -> Sign:
        """Return what signs requests with the account's credentials (Signature Version 4)."""
        session = _botocore_session()

        def sign(method: str, url: str, content: bytes) -> Mapping[str, str]:
            from botocore.auth import SigV4Auth
            from botocore.awsrequest import AWSRequest
            from botocore.exceptions import BotoCoreError

            try:
                credentials = session.get_credentials()
                frozen = None if credentials is None else credentials.get_frozen_credentials()
            except BotoCoreError as error:
                raise RequestFailedError(f"no credentials: {error}") from None
            if frozen is None:
                raise RequestFailedError(
                    "no credentials in the environment, the profile or the instance: run "
                    "`aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )
            headers = {"content-type": "application/json"}
            request = AWSRequest(method=method, url=url, data=content, headers=headers)
            SigV4Auth(frozen, "bedrock", self.region).add_auth(request)
            return {name.lower(): value for name, value in request.headers.items()}

        return sign

    def build_request(self, batch: Batch) -> HttpRequest:
        """Request all scores: by default the operation returns fewer."""
        arn = batch.model
        if not arn.startswith("arn:"):
            arn = f"arn:aws:bedrock:{self.region}::foundation-model/{batch.model}"
        body: dict[str, Any] = {
            "queries": [{"type": "TEXT", "textQuery": {"text": batch.query}}],
            "sources": [
                {
                    "type": "INLINE",
                    "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}},
                }
                for text in batch.documents
            ],
            "rerankingConfiguration": {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "numberOfResults": len(batch.documents),
                    "modelConfiguration": {"modelArn": arn},
                },
            },
        }
        return HttpRequest("/rerank", body)

    def parse_response(self, response: HttpResponse, batch: Batch) -> BatchScores:
        """Read `results`; the operation tells neither tokens nor billed searches."""
        rows = json_value(response.body, "results")
        if json_value(response.body, "nextToken") is not None:
            count = len(rows) if isinstance(rows, list) else 0
            raise ValueError(
                f"it has {count} of {len(batch.documents)} results and a nextToken: lower batch"
            )
        return BatchScores(
            scores_by_index(rows, len(batch.documents), score="relevanceScore", low=0)
        )


def _botocore_session() -> Any:
    try:
        from botocore.session import Session
    except ImportError as error:
        raise MissingExtraError(
            "Amazon Bedrock", package="botocore", extra="bedrock"
        ) from error
    return Session()


def _profile_region() -> str:
    """Return the region of the profile, "" where there is none or botocore is missing."""
    try:
        session = _botocore_session()
    except MissingExtraError:
        return ""
    return str(session.get_config_variable("region") or "")
