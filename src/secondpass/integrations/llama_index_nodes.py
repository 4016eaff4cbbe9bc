"""LlamaIndex's nodes as candidates, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import MetadataMode, NodeWithScore

from secondpass.integrations.outcome import with_outcome
from secondpass.integrations.shared import names_fields
from secondpass.types import Candidate, Document, RankedDocument, RerankResponse


def to_candidates(
    nodes: Sequence[NodeWithScore], options: Mapping[str, Any]
) -> list[Candidate]:
    """Return the nodes as they would be embedded, or bare where options name what to read."""
    mode = MetadataMode.NONE if names_fields(options) else MetadataMode.EMBED
    return [
        Candidate(
            Document(n.node.get_content(mode), n.node.node_id, metadata=n.node.metadata),
            score=n.score,
        )
        for n in nodes
    ]


def to_ranked(nodes: Sequence[NodeWithScore], response: RerankResponse) -> list[NodeWithScore]:
    """Return copies of the nodes that say what happened, to programs but not to models."""
    return [_ranked(nodes[result.index], response, result) for result in response.results]


def _ranked(
    given: NodeWithScore, response: RerankResponse, result: RankedDocument
) -> NodeWithScore:
    node = given.node
    metadata = with_outcome(node.metadata, response, result)
    new = [name for name in metadata if name not in node.metadata]
    hidden = {
        "excluded_llm_metadata_keys": [*node.excluded_llm_metadata_keys, *new],
        "excluded_embed_metadata_keys": [*node.excluded_embed_metadata_keys, *new],
    }
    copied = node.model_copy(update={"metadata": metadata, **hidden})
    return NodeWithScore(node=copied, score=result.score if result.scored else given.score)
