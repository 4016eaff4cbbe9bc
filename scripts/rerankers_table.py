"""The reference page that compares rerankers, from the providers and the price table."""

from __future__ import annotations

import os

from secondpass.rerank.base import BaseReranker
from secondpass.rerank.cross_encoder import CrossEncoder
from secondpass.rerank.generative import GenerativeReranker
from secondpass.rerank.hosted.model import HostedReranker
from secondpass.rerank.hosted.provider import Provider
from secondpass.rerank.hosted.registry import BUILT_IN, SEARCH, load_prices, load_provider
from secondpass.rerank.late_interaction import LateInteraction
from secondpass.rerank.precomputed import PrecomputedReranker

CANDIDATES = 50
TOKENS = 200
QUERY = 20
EXAMPLES = {
    "azure": "Cohere-rerank-v4.0-pro",
    "bedrock": "cohere.rerank-v3-5:0",
    "cloudflare": "@cf/baai/bge-reranker-base",
    "cohere": "rerank-v3.5",
    "contextual": "ctxl-rerank-v2-instruct-multilingual",
    "dashscope": "qwen3-rerank",
    "infinity": "m",
    "jina": "jina-reranker-v2-base-multilingual",
    "llama-server": "",
    "localai": "m",
    "mixedbread": "mxbai-rerank-large-v2",
    "nim": "m",
    "nvidia": "nvidia/m",
    "pinecone": "pinecone-rerank-v0",
    "tei": "",
    "vertex": "semantic-ranker-default-004",
    "vllm": "m",
    "voyage": "rerank-3",
    "weaviate": "",
    "zeroentropy": "zerank-2",
}
ACCOUNTS = {
    "bedrock": "credentials of AWS, a region (`AWS_REGION`), the extra `bedrock`",
    "cloudflare": "an account (`CLOUDFLARE_ACCOUNT_ID`)",
    "vertex": "a project (`GOOGLE_CLOUD_PROJECT`), an access token"
    " (`GOOGLE_OAUTH_ACCESS_TOKEN`) or default credentials and the extra `vertex`",
}
OTHER = "a folder, `OWNER/MODEL`"
FILES, UNLIMITED = "the model's files", "unlimited documents"
IN_PROMPT = "if its prompt has a place for them"
LOCAL = [
    ("`bundled`, `bundled-tiny`", "nothing", UNLIMITED, "logit", "no", PrecomputedReranker),
    ("`bundled-full`", "nothing", UNLIMITED, "logit", "no", CrossEncoder),
    (f"{OTHER}: precomputed", FILES, UNLIMITED, "logit", "no", PrecomputedReranker),
    (f"{OTHER}: cross-encoder", FILES, UNLIMITED, "logit", "no", CrossEncoder),
    (f"{OTHER}: late interaction", FILES, UNLIMITED, "similarity", "no", LateInteraction),
    (f"{OTHER}: language model", FILES, UNLIMITED, "logit", IN_PROMPT, GenerativeReranker),
]
SPANS = {
    "states": "from stored states",
    "reading": "by reading each sentence of returned documents",
    None: "none",
}


def page(note: str) -> str:
    """Return docs/reference/rerankers.md."""
    for variable in ("CLOUDFLARE_ACCOUNT_ID", "AWS_REGION", "GOOGLE_CLOUD_PROJECT"):
        os.environ.setdefault(variable, "any")
    tokens = CANDIDATES * (TOKENS + QUERY)
    lines = [
        "# Rerankers",
        note,
        "Names, requirements and limits of every reranker. How to use the hosted ones:"
        " [use a hosted reranker](../how-to/use-a-hosted-reranker.md). What the score kinds"
        " mean: [scores](../explanation/scores.md). Where"
        " [spans](../how-to/show-relevant-sentences.md) come from is in the last column.",
        "\n".join(
            [
                "| reranker | requires | limits per request | `score_kind` | `instructions`"
                " | spans |",
                "|---|---|---|---|---|---|",
                *(f"| {' | '.join(row)} | {_spans(kind)} |" for *row, kind in LOCAL),
                *(_row(load_provider(name)) for name in sorted(BUILT_IN)),
            ]
        ),
        "Longer lists are split into several requests. Jina's models from version 3 on have"
        " the kind `rank`; TEI and Infinity have `probability` with `raw_scores=False`. The"
        " scores of llama-server and LocalAI are on the scale of the model or backend."
        " `instructions` are followed by Voyage's models from rerank-2.5 on, by those of"
        " Contextual, by those of Qwen at DashScope, and by all"
        " [language models](../how-to/rerank-with-a-language-model.md):"
        " [how](../how-to/give-instructions.md).",
        "## Cost",
        f"US dollars for 1,000 searches with {CANDIDATES} candidates of {TOKENS} tokens and a"
        f" query of {QUERY} tokens. Cohere bills that as one search, token-based providers as"
        f" {tokens:,} tokens, because the query counts once per candidate. Price lists change:"
        " the column *as of* has the date of each.",
        "\n".join(
            [
                "| model | price in USD | as of | 1,000 searches |",
                "|---|---|---|---|",
                *(
                    f"| `{model}` | {p.usd:g} per {p.per} | {p.as_of} "
                    f"| {1000 * (p.cost(searches=1, tokens=tokens) or 0):.2f} |"
                    for model, p in sorted(load_prices().items())
                ),
            ]
        ),
        "Local models and servers of your own have no cost per call. For a hosted model that"
        " is not in the table, `usage.cost` is None, never 0.",
        "No price could be confirmed for Jina, Bedrock, Vertex AI, Pinecone, NVIDIA, Cloudflare"
        " and version 2 of Contextual, so they are not in the table. Contextual tells no tokens"
        " either, so its costs are None."
        " The weights of jina-reranker-v3 and v3.5 have the license CC BY-NC 4.0, so without"
        " another agreement their commercial use is that of Jina's paid API alone.",
        'Your own prices take precedence: `HostedReranker(…, prices="prices.toml")`, or the'
        " path in the environment variable `SECONDPASS_PRICES`."
        f' `per` is `"{SEARCH}"` or `"million tokens"`.',
        '```text\n["cohere/rerank-v3.5"]\nper = "search"\nusd = 0.0015\nas_of = 2026-12-01\n'
        "```",
    ]
    return "\n\n".join(lines) + "\n"


def _spans(kind: type[BaseReranker]) -> str:
    """Return where rerankers of a class take spans from; no object of it needs a model."""
    return SPANS[kind.__new__(kind).spans_from]


def _row(provider: Provider) -> str:
    model = EXAMPLES[provider.name]
    limits, kind = provider.limits(model), provider.score_kind(model)
    requirements = []
    if provider.key_required:
        requirements.append(f"a key (`{'` or `'.join(provider.key_variables)}`)")
    if provider.name in ACCOUNTS:
        requirements.append(ACCOUNTS[provider.name])
    if provider.base_url is None:
        requirements.append(f"a server (`{provider.base_url_variables[0]}`)")
    limit_texts = [f"{limits.documents:,} documents"]
    if provider.name == "tei":
        limit_texts = ["as many documents as `/info` allows, 32 by default"]
    if limits.tokens is not None:
        limit_texts.append(f"about {limits.tokens:,} tokens")
    if limits.bytes is not None:
        limit_texts.append(f"{limits.bytes:,} bytes of text")
    limit_texts.append(f"{limits.characters:,} characters per document")
    name = f"`{provider.name}/…`" if provider.model_required else f"`{provider.name}`"
    follows = "yes" if provider.follows_instructions(model) else "no"
    cells = (name, ", ".join(requirements), ", ".join(limit_texts), str(kind), follows)
    return f"| {' | '.join(cells)} | {_spans(HostedReranker)} |"
