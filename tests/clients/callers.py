"""One call of each client for Python, by its name in clients.toml.

Each gets the server and the settings of the file, and returns the order that it was told, or
the answer to the query. Settings that are environment variables are set already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.clients.conftest import INDEX, QUERY, TEXTS, Server

TOP = 3
MESSAGES = [{"role": "user", "content": QUERY}]


def _indexes(texts: Iterable[str]) -> list[int]:
    return [TEXTS.index(text) for text in texts]


def _litellm(model: str, server: Server, settings: dict[str, str]) -> list[int]:
    import litellm

    found = litellm.rerank(
        model=model, query=QUERY, documents=TEXTS, top_n=TOP, api_key=server.key, **settings
    )
    return [row["index"] for row in found.results]


def litellm_cohere(server: Server, settings: dict[str, str]) -> list[int]:
    return _litellm("cohere/rerank-v3.5", server, settings)


def litellm_jina(server: Server, settings: dict[str, str]) -> list[int]:
    return _litellm("jina_ai/jina-reranker-v3", server, settings)


def litellm_voyage(server: Server, settings: dict[str, str]) -> list[int]:
    return _litellm("voyage/rerank-2.5", server, settings)


def litellm_infinity(server: Server, settings: dict[str, str]) -> list[int]:
    return _litellm("infinity/any", server, settings)


def litellm_vllm(server: Server, settings: dict[str, str]) -> list[int]:
    return _litellm("hosted_vllm/any", server, settings)


def litellm_chat(server: Server, settings: dict[str, str]) -> str:
    import litellm

    found = litellm.completion(
        model=f"openai/{INDEX}", messages=MESSAGES, api_key=server.key, **settings
    )
    return str(found.choices[0].message.content)


def _haystack(ranker: Any) -> list[int]:
    from haystack import Document

    found = ranker.run(query=QUERY, documents=[Document(content=text) for text in TEXTS])
    return _indexes(document.content for document in found["documents"])


def haystack_cohere(server: Server, settings: dict[str, str]) -> list[int]:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.cohere import CohereRanker

    key = Secret.from_token(server.key)
    return _haystack(CohereRanker(model="rerank-v3.5", api_key=key, top_k=TOP, **settings))


def haystack_jina(server: Server, settings: dict[str, str]) -> list[int]:
    from haystack.utils import Secret
    from haystack_integrations.components.rankers.jina import JinaRanker

    key = Secret.from_token(server.key)
    return _haystack(JinaRanker(api_key=key, top_k=TOP, **settings))


def langchain_cohere(server: Server, settings: dict[str, str]) -> list[int]:
    from langchain_cohere import CohereRerank
    from langchain_core.documents import Document

    compressor = CohereRerank(
        cohere_api_key=server.key, model="rerank-v3.5", top_n=TOP, **settings
    )
    found = compressor.compress_documents([Document(text) for text in TEXTS], QUERY)
    return _indexes(document.page_content for document in found)


def _llama_index(postprocessor: Any) -> list[int]:
    from llama_index.core.schema import NodeWithScore, TextNode

    nodes = [NodeWithScore(node=TextNode(text=text), score=0.1) for text in TEXTS]
    found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    return _indexes(one.node.get_content() for one in found)


def llama_index_cohere(server: Server, settings: dict[str, str]) -> list[int]:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    return _llama_index(
        CohereRerank(api_key=server.key, model="rerank-v3.5", top_n=TOP, **settings)
    )


def llama_index_voyage(server: Server, settings: dict[str, str]) -> list[int]:
    import voyageai
    from llama_index.postprocessor.voyageai_rerank import VoyageAIRerank

    reranker = VoyageAIRerank(model="rerank-2.5", api_key=server.key, top_n=TOP)
    reranker._client = voyageai.Client(api_key=server.key, **settings)
    return _llama_index(reranker)


def mem0_cohere(server: Server, settings: dict[str, str]) -> list[int]:
    from mem0.configs.rerankers.cohere import CohereRerankerConfig
    from mem0.reranker.cohere_reranker import CohereReranker

    reranker = CohereReranker(CohereRerankerConfig(api_key=server.key))
    found = reranker.rerank(QUERY, [{"memory": text} for text in TEXTS], top_k=TOP)
    assert all(row["rerank_score"] for row in found)
    return _indexes(row["memory"] for row in found)


def _rerankers(provider: str, server: Server, settings: dict[str, str]) -> list[int]:
    from rerankers.models.api_rankers import APIRanker

    found = APIRanker("any", server.key, provider, verbose=0, **settings).rank(QUERY, TEXTS)
    return [row.doc_id for row in found.top_k(TOP)]


def rerankers_cohere(server: Server, settings: dict[str, str]) -> list[int]:
    return _rerankers("cohere", server, settings)


def rerankers_jina(server: Server, settings: dict[str, str]) -> list[int]:
    return _rerankers("jina", server, settings)


def rerankers_voyage(server: Server, settings: dict[str, str]) -> list[int]:
    return _rerankers("voyage", server, settings)


def rerankers_mixedbread(server: Server, settings: dict[str, str]) -> list[int]:
    return _rerankers("mixedbread.ai", server, settings)


def rerankers_tei(server: Server, settings: dict[str, str]) -> list[int]:
    return _rerankers("text-embeddings-inference", server, settings)


def infinity_client(server: Server, settings: dict[str, str]) -> list[int]:
    from infinity_client import AuthenticatedClient
    from infinity_client.api.default import models, rerank
    from infinity_client.models import RerankInput

    client = AuthenticatedClient(token=server.key, **settings)
    assert models.sync(client=client).data
    body = RerankInput.from_dict(
        {"query": QUERY, "documents": TEXTS, "top_n": TOP, "model": "any"}
    )
    return [row.index for row in rerank.sync(client=client, body=body).results]


def pydantic_ai(server: Server, settings: dict[str, str]) -> str:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(api_key=server.key, **settings)
    return Agent(OpenAIChatModel(INDEX, provider=provider)).run_sync(QUERY).output


def openai_agents(server: Server, settings: dict[str, str]) -> str:
    from agents import Agent, OpenAIChatCompletionsModel, Runner
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=server.key, **settings)
    model = OpenAIChatCompletionsModel(model=INDEX, openai_client=client)
    agent = Agent(name="clerk", instructions="Answer.", model=model)
    return str(Runner.run_sync(agent, QUERY).final_output)


def huggingface_hub(server: Server, settings: dict[str, str]) -> str:
    from huggingface_hub import InferenceClient

    client = InferenceClient(api_key=server.key, **settings)
    found = client.chat_completion(MESSAGES, model=INDEX)
    return str(found.choices[0].message.content)
