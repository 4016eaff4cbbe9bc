"""Many objects over REST: `/v1/batch/objects`."""

from __future__ import annotations

from typing import Any

from secondpass.server.exchange import Exchange
from secondpass.server.request_handler import Answering
from secondpass.server.weaviate.batch import delete_batch, store_batch
from secondpass.server.weaviate.classes import Classes
from secondpass.server.weaviate.responses import refused

_OUTPUTS = ("minimal", "verbose")


class BatchPaths:
    """Answers what stores many objects, and what removes those that pass a filter."""

    def __init__(self, answering: Answering, classes: Classes) -> None:
        self._answering, self._classes = answering, classes

    async def store(self, exchange: Exchange) -> Any:
        """Store objects; each has its own result."""
        given = (await self._answering.body(exchange)).items("objects")
        if not given:
            raise refused("objects cannot be empty")
        self._answering.service.check_count(len(given), exchange.caller.max_documents)
        return await self._answering.done(
            exchange,
            lambda: store_batch(self._classes, exchange.caller.tenant, given),
            timeout=self._answering.service.settings.write_timeout,
        )

    async def delete(self, exchange: Exchange) -> Any:
        """Remove the objects of a class that pass a filter."""
        body = await self._answering.body(exchange)
        match, dry = body.found.get("match"), body.flag("dryRun")
        output = body.text("output", "minimal")
        if not isinstance(match, dict):
            raise refused("match must be an object")
        if output not in _OUTPUTS:
            raise refused(f"output must be one of {', '.join(_OUTPUTS)}, not {output!r:.80}")
        asked = {**match, "tenant": exchange.request.query_params.get("tenant")}

        def delete() -> dict[str, Any]:
            with self._classes.writing(exchange.caller.tenant, match.get("class")) as index:
                return delete_batch(index, asked, verbose=output == "verbose", dry=dry)

        results = await self._answering.done(
            exchange, delete, timeout=self._answering.service.settings.write_timeout
        )
        return {"match": match, "output": output, "dryRun": dry, "results": results}
