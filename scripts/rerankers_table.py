"""The page that compares rerankers, from the providers and the table of prices themselves."""

from __future__ import annotations

import os

from secondpass.rerank.hosted.provider import Provider
from secondpass.rerank.hosted.registry import BUILT_IN, SEARCH, load_prices, load_provider

CANDIDATES = 50
TOKENS = 200
QUESTION = 20
EXAMPLES = {
    "cloudflare": "@cf/baai/bge-reranker-base",
    "cohere": "rerank-v3.5",
    "infinity": "m",
    "jina": "jina-reranker-v2-base-multilingual",
    "mixedbread": "mxbai-rerank-large-v2",
    "tei": "",
    "vllm": "m",
    "voyage": "rerank-2.5",
    "weaviate": "",
}
LOCAL = [
    ("`bundled`, `bundled-tiny`", "nothing", "any number of documents", "logit"),
    ("a folder, `OWNER/MODEL@COMMIT`", "the model's files", "any number of documents", "logit"),
]


def page(note: str) -> str:
    """Return docs/reference/rerankers.md."""
    os.environ.setdefault("CLOUDFLARE_ACCOUNT_ID", "any")
    tokens = CANDIDATES * (TOKENS + QUESTION)
    lines = [
        "# Rerankers",
        note,
        "Names, needs and limits of every reranker; how to use the hosted ones is in"
        " [use a hosted reranker](../how-to/use-a-hosted-reranker.md), what the kinds of"
        " scores mean in [scores](../explanation/scores.md).",
        "\n".join(
            [
                "| reranker | needs | in one request | `score_kind` |",
                "|---|---|---|---|",
                *("| " + " | ".join(row) + " |" for row in LOCAL),
                *(_row(load_provider(name)) for name in sorted(BUILT_IN)),
            ]
        ),
        "More documents than a request may hold are split over several. Jina's models from"
        " version 3 on give the kind `rank`; TEI and Infinity give `probability` with"
        " `raw_scores=False`.",
        "## Cost",
        f"US dollars for 1,000 searches of {CANDIDATES} candidates of {TOKENS} tokens and"
        f" questions of {QUESTION}: that is one search as Cohere bills it, or {tokens:,}"
        " tokens, since the question counts for each candidate. Price lists change: each has"
        " the day for which it was found.",
        "\n".join(
            [
                "| model | price in USD | as of | 1,000 searches |",
                "|---|---|---|---|",
                *(
                    f"| `{model}` | {p.usd:g} for a {p.per} | {p.as_of} "
                    f"| {1000 * (p.cost(searches=1, tokens=tokens) or 0):.2f} |"
                    for model, p in sorted(load_prices().items())
                ),
            ]
        ),
        "What runs here, or on a server of your own, costs no more than the machine. For a"
        " model that is not in the table `usage.cost` is None, never 0.",
        f'Prices of your own come first: `Hosted(…, prices="prices.toml")`, or the path in'
        f' the variable `SECONDPASS_PRICES`. `per` is `"{SEARCH}"` or `"million tokens"`.',
        '```text\n["cohere/rerank-v3.5"]\nper = "search"\nusd = 0.0015\nas_of = 2026-12-01\n'
        "```",
    ]
    return "\n\n".join(lines) + "\n"


def _row(provider: Provider) -> str:
    model = EXAMPLES[provider.name]
    limits, kind = provider.limits(model), provider.score_kind(model)
    needs = []
    if provider.key_required:
        needs.append(f"a key (`{'` or `'.join(provider.key_variables)}`)")
    if provider.name == "cloudflare":
        needs.append("an account (`CLOUDFLARE_ACCOUNT_ID`)")
    if provider.base_url is None:
        needs.append(f"a server (`{provider.base_url_variables[0]}`)")
    holds = [f"{limits.documents:,} documents"]
    if provider.name == "tei":
        holds = ["as many documents as `/info` says, 32 by default"]
    if limits.tokens is not None:
        holds.append(f"about {limits.tokens:,} tokens")
    if limits.bytes is not None:
        holds.append(f"{limits.bytes:,} bytes of text")
    holds.append(f"{limits.characters:,} characters of each")
    name = f"`{provider.name}/…`" if provider.model_required else f"`{provider.name}`"
    return f"| {name} | {', '.join(needs)} | {', '.join(holds)} | {kind} |"
