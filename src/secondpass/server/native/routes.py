"""All routes of the own interface."""

from __future__ import annotations

from fastapi import APIRouter

from secondpass.server.answering import Answering
from secondpass.server.native import indexes
from secondpass.server.native.reranking import reranking
from secondpass.server.native.searching import searching


def native(answering: Answering) -> list[APIRouter]:
    """Return the routers."""
    return [
        reranking(answering),
        searching(answering),
        indexes.reading(answering),
        indexes.writing(answering),
    ]
