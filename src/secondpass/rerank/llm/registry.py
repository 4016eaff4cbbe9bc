"""Rerankers over language models by name: PROVIDER/MODEL, or PROVIDER/MODEL#WAY."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from secondpass.errors import InputError, nearest
from secondpass.llm import load_llm
from secondpass.rerank.llm.listwise import Listwise
from secondpass.rerank.llm.model import LLMReranker
from secondpass.rerank.llm.pairwise import Pairwise
from secondpass.rerank.llm.pointwise import Pointwise
from secondpass.rerank.llm.setwise import Setwise

METHODS: Mapping[str, Callable[..., LLMReranker]] = {
    "listwise": Listwise,
    "pairwise": Pairwise,
    "pointwise": Pointwise,
    "setwise": Setwise,
}
"""How a model can be asked; "listwise" is what a name without a way means."""


def llm_reranker(provider: str, model: str) -> LLMReranker:
    """Return the reranker; raises `InputError` for an unknown way or a missing key."""
    model, _, way = model.partition("#")
    way = way if way else "listwise"
    if way not in METHODS:
        raise InputError(f"There is no way {way!r} to ask a model", fix=nearest(way, METHODS))
    return METHODS[way](load_llm(f"{provider}/{model}"))
