"""Services and language models that rerankers and answers call.

    >>> from secondpass.policies import HostedReranker, Listwise
    >>> from secondpass.providers import Cohere, load_llm
    >>> hosted = HostedReranker("rerank-v3.5", provider=Cohere(version=1))
    >>> reranker = Listwise(load_llm("ollama/qwen3:4b"))

Most programs only need a name: `Reranker("cohere/rerank-v3.5")`. Names are imported at
first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondpass._lazy import load_public_name

if TYPE_CHECKING:
    from secondpass.llm.base import LLM
    from secondpass.llm.providers import load_llm
    from secondpass.llm.types import Completion, Prompt
    from secondpass.remote.retry import RetryPolicy
    from secondpass.rerank.hosted.bedrock import Bedrock
    from secondpass.rerank.hosted.cloudflare import Cloudflare
    from secondpass.rerank.hosted.cohere import Cohere
    from secondpass.rerank.hosted.infinity import Infinity
    from secondpass.rerank.hosted.provider import Provider
    from secondpass.rerank.hosted.tei import TEI
    from secondpass.rerank.hosted.vertex import Vertex
    from secondpass.rerank.llm.prompts import PromptTemplate

_MODULES = {
    "Bedrock": "rerank.hosted.bedrock",
    "Cloudflare": "rerank.hosted.cloudflare",
    "Cohere": "rerank.hosted.cohere",
    "Completion": "llm.types",
    "Infinity": "rerank.hosted.infinity",
    "LLM": "llm.base",
    "Prompt": "llm.types",
    "PromptTemplate": "rerank.llm.prompts",
    "Provider": "rerank.hosted.provider",
    "RetryPolicy": "remote.retry",
    "TEI": "rerank.hosted.tei",
    "Vertex": "rerank.hosted.vertex",
    "load_llm": "llm.providers",
}

__all__ = [
    "LLM",
    "TEI",
    "Bedrock",
    "Cloudflare",
    "Cohere",
    "Completion",
    "Infinity",
    "Prompt",
    "PromptTemplate",
    "Provider",
    "RetryPolicy",
    "Vertex",
    "load_llm",
]


def __getattr__(name: str) -> object:
    return load_public_name(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return __all__
