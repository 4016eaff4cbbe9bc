"""All routes of `/api/v1`."""

from __future__ import annotations

from fastapi import APIRouter

from secondpass.server.api_v1 import (
    capabilities,
    comparison,
    explain,
    files,
    indexes,
    query_sets,
    rerank,
    search,
)
from secondpass.server.request_handler import RequestHandler


def routers(handler: RequestHandler) -> list[APIRouter]:
    """Return the routers."""
    return [
        capabilities.router(handler),
        rerank.router(handler),
        explain.text_router(handler),
        search.router(handler),
        explain.router(handler),
        indexes.read_router(handler),
        indexes.write_router(handler),
        files.router(handler),
        query_sets.read_router(handler),
        query_sets.write_router(handler),
        comparison.router(handler),
    ]
