"""What the database says of itself: that it lives, its version, its nodes."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

import secondpass
from secondpass.server.exchange import Exchange
from secondpass.server.request_handler import Answering
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.responses import absent

VERSION = "1.27.0"
"""What clients are told: the oldest version that all of them accept."""


class AboutPaths:
    """Answers what clients ask before they begin."""

    def __init__(self, answering: Answering, classes: Classes) -> None:
        self._answering, self._classes = answering, classes

    async def ready(self, exchange: Exchange) -> Response:
        """Return 200 once the models are warm, 503 before that and while stopping."""
        return Response(status_code=200 if self._answering.service.ready else 503)

    async def live(self, exchange: Exchange) -> Response:
        """Return 200."""
        return Response(status_code=200)

    async def openid(self, exchange: Exchange) -> Response:
        """Return 404: keys are all there is."""
        raise absent("OpenID Connect is not configured")

    async def meta(self, exchange: Exchange) -> Any:
        """Return the version and the modules; all modules of a kind mean one model."""
        settings = self._answering.service.settings
        models = {"model": {"name": self._answering.service.models[0]}}
        modules = {"reranker-transformers": models, "text2vec-transformers": {}}
        found: dict[str, Any] = {
            "hostname": str(exchange.request.base_url).rstrip("/"),
            "modules": modules,
            "version": VERSION,
        }
        if settings.grpc_port is not None:
            found["grpcMaxMessageSize"] = settings.max_body
        return found

    async def nodes(self, exchange: Exchange) -> Any:
        """Return the one node that there is."""

        def count() -> tuple[int, int]:
            found = self._classes.listed(exchange.caller.tenant)
            return sum(one.count() for one in found), len(found)

        objects, classes = await self._answering.done(exchange, count)
        stats = {"objectCount": objects, "shardCount": classes}
        node = {"name": "secondpass", "status": "HEALTHY", "version": VERSION}
        node |= {"gitHash": secondpass.__version__}
        return {"nodes": [{**node, "stats": stats, "shards": []}]}
