"""The tools, and the errors that agents can read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

import secondpass
from secondpass.errors import SecondpassError
from secondpass.explain import explain as explain_document
from secondpass.inference.unicode import clean
from secondpass.server.access.api_keys import KeyEntry
from secondpass.server.http_errors import HttpError
from secondpass.server.index_catalog import ServedIndex
from secondpass.server.mcp.filters import filter_condition
from secondpass.server.mcp.hosts import Host
from secondpass.server.mcp.responses import (
    Explained,
    Found,
    Placed,
    Reranked,
    write_explanation,
    write_passage,
    write_spans,
)
from secondpass.server.mcp.schemas import (
    Boosts,
    Diversity,
    DocumentId,
    Filters,
    GroupBy,
    GroupSize,
    IndexName,
    Mode,
    Query,
    Texts,
    TopK,
    TopN,
    WithSpans,
)
from secondpass.server.result_fields import relevance_score
from secondpass.server.state import ServerState

T = TypeVar("T")
_READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_INSTRUCTIONS = (
    "Search an index of documents and read the best passages; ask explain why one of them is "
    "where it is. Rerank puts texts from elsewhere in the order of their relevance to a query."
)


def make_server(state: ServerState, host: Host) -> MCPServer[Any]:
    """Build an MCP server with the tools; its transport is the caller's choice."""
    with _keep_logging():
        server: MCPServer[Any] = MCPServer(
            "secondpass",
            version=secondpass.__version__,
            instructions=_INSTRUCTIONS,
            # Nothing here changes that clients could subscribe to, so no stream stays open.
            subscriptions=False,
        )

    @server.tool(title="Search", annotations=_READ_ONLY)
    async def search(
        context: Context[Any, Any],
        query: Query,
        top_k: TopK = 10,
        mode: Mode = "hybrid",
        rerank: bool = True,
        index: IndexName = None,
        filters: Filters = None,
        group_by: GroupBy = None,
        group_size: GroupSize = 1,
        boost: Boosts = [],  # noqa: B006 - it is not changed
        diversity: Diversity = None,
        spans: WithSpans = False,
    ) -> Found:
        """Find the passages of an index that answer a query best, best first."""

        def run(caller: KeyEntry) -> Found:
            chosen = find_index(state, caller, index).source
            condition = filter_condition(filters, chosen.fields) if filters else None
            response = chosen.search(
                clean(query),
                mode=mode,
                top_k=top_k,
                rerank=rerank,
                filter=condition,
                group_by=group_by,
                group_size=group_size,
                boost=boost,
                diversity=diversity,
                spans=spans,
            )
            passages = [write_passage(result) for result in response.results]
            return Found(response.query, str(response.status), response.reason, passages)

        return await run_tool(host, context, "search", run)

    @server.tool(title="Rerank", annotations=_READ_ONLY)
    async def rerank(
        context: Context[Any, Any],
        query: Query,
        documents: Texts,
        top_n: TopN = None,
        model: str | None = None,
        spans: WithSpans = False,
    ) -> Reranked:
        """Put texts in the order of their relevance to a query, best first."""

        def run(caller: KeyEntry) -> Reranked:
            state.check_count(len(documents), caller.max_documents)
            texts = [clean(text) for text in documents]
            response = state.rerank(clean(query), texts, model=model, top_k=top_n, spans=spans)
            rows = [
                Placed(r.index, relevance_score(r), write_spans(r, texts[r.index]))
                for r in response.results
            ]
            return Reranked(response.model, rows)

        return await run_tool(host, context, "rerank", run)

    @server.tool(title="Explain", annotations=_READ_ONLY)
    async def explain(
        context: Context[Any, Any],
        query: Query,
        document: DocumentId,
        index: IndexName = None,
        mode: Mode = "hybrid",
    ) -> Explained:
        """Say why a document of an index stands where it does for a query."""

        def run(caller: KeyEntry) -> Explained:
            chosen = find_index(state, caller, index).source
            return write_explanation(
                explain_document(chosen, clean(query), clean(document), mode=mode)
            )

        return await run_tool(host, context, "search", run)

    return server


@contextmanager
def _keep_logging() -> Iterator[None]:
    """Keep the package `mcp` from setting up logging, as it does where there is no handler."""
    root, placeholder = logging.getLogger(), logging.NullHandler()
    root.addHandler(placeholder)
    try:
        yield
    finally:
        root.removeHandler(placeholder)


async def run_tool(
    host: Host, context: Context[Any, Any], scope: str, function: Callable[[KeyEntry], T]
) -> T:
    """Run the blocking part of a tool for a caller whose key has the scope.

    Raises ToolError, which the agent reads, for what it can do something about.
    """

    def run() -> T:
        try:
            return function(caller)
        except SecondpassError as error:
            # Without `where`: it is a folder of this machine, or what the agent sent.
            public = SecondpassError(error.what, why=error.why, fix=error.fix)
            raise ToolError(str(public)) from error

    try:
        caller = host.caller(context)
        caller.allow(scope)
        return await host.run(context, run)
    except HttpError as error:
        raise ToolError(error.message) from error


def find_index(state: ServerState, caller: KeyEntry, name: str | None) -> ServedIndex:
    """Return an index of the caller; raises HttpError with the names that there are."""
    catalog = state.catalog
    try:
        if name is None:
            return catalog.default(caller.tenant)
        return catalog.find(caller.tenant, name)
    except HttpError as error:
        labels = [
            served.key.label
            for namespace in catalog.namespaces(caller.tenant)
            for served in catalog.list_indexes(caller.tenant, namespace)
        ]
        known = f"; known: {', '.join(labels)}" if labels else ""
        raise HttpError(error.status, error.kind, error.message + known) from error
