"""How a chat request searches: settings that clients send as `ai_search_options`."""

from __future__ import annotations

from dataclasses import dataclass

from secondpass.server.http_errors import invalid
from secondpass.server.http_json import Body

_MODES = {"vector": "vector", "keyword": "bm25", "hybrid": "hybrid"}
_MOST = 50


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How passages are found: None where the client leaves it to the server.

    - `passages`: how many are read, 1 to 50; `mode`: that of `Index.search`.
    - `rerank`: whether the second pass runs, by `model` where one is named; `rewrite`:
      whether a language model words the search.
    """

    passages: int | None = None
    mode: str | None = None
    rerank: bool = True
    model: str | None = None
    rewrite: bool | None = None


def read_retrieval(options: Body) -> Retrieval:
    """Read the settings in the names that Cloudflare's AI Search gave them.

    Raises `Problem` (400) for values that cannot be, and for filters, since an answer
    without them would be from documents that were not to be read.
    """
    retrieval, reranking, rewriting = (
        options.part(name) for name in ("retrieval", "reranking", "query_rewrite")
    )
    if retrieval.found.get("filters"):
        raise invalid("filters are not read on this path")
    passages = retrieval.count("max_num_results")
    if passages is not None and passages > _MOST:
        raise invalid(f"max_num_results can be {_MOST} at most")
    kind = retrieval.maybe_text("retrieval_type")
    if kind is not None and kind not in _MODES:
        raise invalid(f"retrieval_type must be one of {', '.join(_MODES)}")
    rewrites = rewriting.found.get("enabled") is not None
    return Retrieval(
        passages=passages,
        mode=None if kind is None else _MODES[kind],
        rerank=reranking.flag("enabled", True),
        model=reranking.maybe_text("model"),
        rewrite=rewriting.flag("enabled") if rewrites else None,
    )
