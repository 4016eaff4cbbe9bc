"""LLM rerankers by name: PROVIDER/MODEL, or PROVIDER/MODEL#METHOD."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from secondpass.errors import InputError, nearest
from secondpass.llm import load_llm
from secondpass.rerank.llm.listwise import Listwise
from secondpass.rerank.llm.model import LLMReranker
from secondpass.rerank.llm.pairwise import Pairwise
from secondpass.rerank.llm.pointwise import Pointwise
from secondpass.rerank.llm.setwise import Setwise

DEFAULT_METHOD = "listwise"
METHODS: Mapping[str, Callable[..., LLMReranker]] = {
    "listwise": Listwise,
    "pairwise": Pairwise,
    "pointwise": Pointwise,
    "setwise": Setwise,
}
"""The reranking methods by name."""


def llm_reranker(provider: str, model: str) -> LLMReranker:
    """Return the reranker; raises `InputError` for an unknown method or a missing key."""
    model, _, method = model.partition("#")
    method = method if method else DEFAULT_METHOD
    if method not in METHODS:
        raise InputError(
            f"There is no reranking method {method!r}", fix=nearest(method, METHODS)
        )
    return METHODS[method](load_llm(f"{provider}/{model}"))
