"""How many tokens a model can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT_LENGTH = 512

_OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"}
)


def longest_input(config: Mapping[str, Any]) -> int:
    """Return how many tokens a model can read, from its config.json; 512 if it is silent.

    RoBERTa's table of positions begins after the padding id, so some are not usable.
    """
    positions = int(config.get("max_position_embeddings", DEFAULT_LENGTH))
    if config.get("model_type") in _OFFSET_POSITIONS:
        pad = config.get("pad_token_id")
        positions -= (1 if pad is None else int(pad)) + 1
    return positions
