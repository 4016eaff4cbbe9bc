"""All routes of `/api/v1`."""

from __future__ import annotations

from fastapi import APIRouter

from secondpass.server.api_v1 import indexes, rerank, search
from secondpass.server.request_handler import RequestHandler


def routers(handler: RequestHandler) -> list[APIRouter]:
    """Return the routers."""
    return [
        rerank.router(handler),
        search.router(handler),
        indexes.read_router(handler),
        indexes.write_router(handler),
    ]
