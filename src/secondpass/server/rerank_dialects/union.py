"""One answer that the clients of Cohere, Jina, Voyage and vLLM all understand."""

from __future__ import annotations

from typing import Any

from secondpass.server.rerank_dialects import cohere, voyage
from secondpass.server.rerank_dialects.responses import Dialect, message
from secondpass.server.rerank_dialects.schemas import Answered, asked


def write(answered: Answered) -> dict[str, Any]:
    """Return the union of their answers."""
    return {
        **cohere.write_v1(answered),
        "object": "list",
        "data": voyage.rows(answered),
    }


UNION = Dialect("union", asked, write, message)
