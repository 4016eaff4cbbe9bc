"""The tools, and the errors that agents can read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal, TypeVar

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

import secondpass
from secondpass.errors import SecondpassError
from secondpass.explain import explain as explain_document
from secondpass.inference.tokenizer import clean
from secondpass.server.access.api_keys import KeyEntry
from secondpass.server.http_errors import HttpError
from secondpass.server.index_catalog import ServedIndex
from secondpass.server.mcp.filters import condition
from secondpass.server.mcp.hosts import Host
from secondpass.server.mcp.responses import (
    Explained,
    Found,
    Placed,
    Reranked,
    explained,
    passage,
)
from secondpass.server.result_fields import relevance_score
from secondpass.server.state import ServerState

T = TypeVar("T")
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_INSTRUCTIONS = (
    "Search an index of documents and read the best passages; ask explain why one of them is "
    "where it is. Rerank puts texts from elsewhere in the order of their relevance to a query."
)

Query = Annotated[str, Field(min_length=1, description="What is looked for, in plain words.")]
TopK = Annotated[int, Field(ge=1, le=50, description="How many passages to return.")]
Mode = Annotated[
    Literal["bm25", "vector", "hybrid"],
    Field(description="Find by words, by meaning, or by both."),
]
IndexName = Annotated[
    str | None, Field(description="Which index; without one, the server's default.")
]
Filters = Annotated[
    dict[str, Any] | None,
    Field(
        description='Metadata that documents must have, as in {"lang": "en"}, '
        '{"lang": ["en", "fr"]} or {"year": {"$gte": 2015}}.'
    ),
]
Texts = Annotated[list[str], Field(min_length=1, description="The texts to put in order.")]
TopN = Annotated[int | None, Field(ge=1, description="How many to return; all without it.")]


def make_server(state: ServerState, host: Host) -> MCPServer[Any]:
    """Return a server of the tools, which anything can run."""
    with _logging_as_it_is():
        server: MCPServer[Any] = MCPServer(
            "secondpass",
            version=secondpass.__version__,
            instructions=_INSTRUCTIONS,
            # Nothing here changes that could be told, and so no stream stays open.
            subscriptions=False,
        )
    work = _Work(state, host)

    @server.tool(title="Search", annotations=_READS)
    async def search(
        context: Context[Any, Any],
        query: Query,
        top_k: TopK = 10,
        mode: Mode = "hybrid",
        rerank: bool = True,
        index: IndexName = None,
        filters: Filters = None,
    ) -> Found:
        """Find the passages of an index that answer a query best, best first."""

        def do(caller: KeyEntry) -> Found:
            chosen = work.index(caller, index).index
            where = condition(filters, chosen.fields) if filters else None
            found = chosen.search(
                clean(query), mode=mode, top_k=top_k, rerank=rerank, filter=where
            )
            rows = [passage(one) for one in found.results]
            return Found(found.query, str(found.status), rows)

        return await work.done(context, "search", do)

    @server.tool(title="Rerank", annotations=_READS)
    async def rerank(
        context: Context[Any, Any],
        query: Query,
        documents: Texts,
        top_n: TopN = None,
        model: str | None = None,
    ) -> Reranked:
        """Put texts in the order of their relevance to a query, best first."""

        def do(caller: KeyEntry) -> Reranked:
            state.check_count(len(documents), caller.max_documents)
            texts = [clean(text) for text in documents]
            found = state.rerank(clean(query), texts, model=model, top_k=top_n)
            rows = [Placed(one.index, relevance_score(one)) for one in found.results]
            return Reranked(found.model, rows)

        return await work.done(context, "rerank", do)

    @server.tool(title="Explain", annotations=_READS)
    async def explain(
        context: Context[Any, Any],
        query: Query,
        document: Annotated[
            str, Field(min_length=1, description="The id of a passage or a document.")
        ],
        index: IndexName = None,
        mode: Mode = "hybrid",
    ) -> Explained:
        """Say why a document of an index stands where it does for a query."""

        def do(caller: KeyEntry) -> Explained:
            chosen = work.index(caller, index).index
            return explained(explain_document(chosen, clean(query), clean(document), mode=mode))

        return await work.done(context, "search", do)

    return server


@contextmanager
def _logging_as_it_is() -> Iterator[None]:
    """Keep the package from setting up logging, which it leaves alone where it is set up."""
    root, nobody = logging.getLogger(), logging.NullHandler()
    root.addHandler(nobody)
    try:
        yield
    finally:
        root.removeHandler(nobody)


class _Work:
    """Does the work of tools; what an agent can do about a failure is a ToolError."""

    def __init__(self, state: ServerState, host: Host) -> None:
        self._state, self._host = state, host

    async def done(
        self, context: Context[Any, Any], scope: str, do: Callable[[KeyEntry], T]
    ) -> T:
        """Do what blocks for a caller that has the scope."""

        def told() -> T:
            try:
                return do(caller)
            except SecondpassError as error:
                # Where it happened is a folder of this machine, or what the agent sent.
                said = SecondpassError(error.what, why=error.why, fix=error.fix)
                raise ToolError(str(said)) from error

        try:
            caller = self._host.caller(context)
            caller.allow(scope)
            return await self._host.done(context, told)
        except HttpError as problem:
            raise ToolError(problem.message) from problem

    def index(self, caller: KeyEntry, name: str | None) -> ServedIndex:
        """Return an index of the caller; raises Problem with the names that there are."""
        catalog = self._state.catalog
        try:
            if name is None:
                return catalog.default(caller.tenant)
            return catalog.find(caller.tenant, name)
        except HttpError as problem:
            found = [
                one.place.label
                for namespace in catalog.namespaces(caller.tenant)
                for one in catalog.listed(caller.tenant, namespace)
            ]
            known = f"; known: {', '.join(found)}" if found else ""
            raise HttpError(problem.status, problem.kind, problem.message + known) from problem
