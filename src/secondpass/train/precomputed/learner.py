"""Training of a precomputed reranker: its encoder is frozen, so texts are encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secondpass.errors import InputError
from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.token_encoder import open_encoder
from secondpass.train.precomputed.initial_weights import from_bert, load_bert
from secondpass.train.precomputed.module import PrecomputedConfig, PrecomputedModule
from secondpass.train.precomputed.states import (
    EncoderStates,
    encode_states,
    gather_documents,
    gather_queries,
)
from secondpass.train.trainer.interface import PairIndices, ParameterGroup, Texts
from secondpass.train.trainer.settings import TrainSettings

Progress = Callable[[str, int, int], None]
# Passages whose states the initial compression is computed from.
SAMPLE = 400


class PrecomputedLearner:
    """A precomputed reranker with the encoder states of all queries and passages."""

    def __init__(
        self,
        reranker: PrecomputedModule,
        queries: EncoderStates,
        passages: EncoderStates,
        encoder_description: dict[str, Any],
    ) -> None:
        self.reranker = reranker
        # Stored codes of documents stay valid for every reranker trained from this one.
        reranker.compress.requires_grad_(False)
        self.queries, self.passages = queries, passages
        self._encoder_description = encoder_description

    @property
    def module(self) -> nn.Module:
        """The reranker."""
        return self.reranker

    def parameter_groups(self, settings: TrainSettings) -> list[ParameterGroup]:
        """Return the layers, the gates and scale, and the head, each with its learning rate."""
        gates: list[nn.Parameter] = [self.reranker.scale, self.reranker.shift]
        head = list(self.reranker.head.parameters())
        layers: list[nn.Parameter] = []
        for name, parameter in self.reranker.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.endswith(".gate"):
                gates.append(parameter)
            elif name == "match_weights":
                head.append(parameter)
            elif not any(parameter is other for other in (*gates, *head)):
                layers.append(parameter)
        return [
            ParameterGroup(layers, settings.learning_rate),
            ParameterGroup(gates, settings.gate_rate, decay=False),
            ParameterGroup(head, settings.head_rate),
        ]

    def scores(self, pairs: Sequence[PairIndices]) -> Tensor:
        """Return a logit for each pair, [pairs]."""
        device = str(self.reranker.scale.device)
        logits: Tensor = self.reranker(
            gather_queries(self.queries, [pair.query for pair in pairs], device),
            gather_documents(self.passages, [pair.passage for pair in pairs], device),
        )
        return logits

    def cosines(self, pairs: Sequence[PairIndices]) -> Tensor:
        """Return the encoder's cosine of each pair, [pairs]."""
        queries = self.queries.embeddings[[pair.query for pair in pairs]]
        passages = self.passages.embeddings[[pair.passage for pair in pairs]]
        cosines = np.asarray((queries * passages).sum(axis=1), dtype=np.float32)
        return torch.from_numpy(cosines).to(self.reranker.scale.device)

    def description(self) -> dict[str, Any]:
        """Return the reranker's sizes and its encoder."""
        return {"reader": self.reranker.config.as_object(), **self._encoder_description}


def prepare_learner(
    texts: Texts,
    settings: TrainSettings,
    encoder_folder: ModelFolder,
    base: Path,
    cache: Path,
    progress: Progress,
) -> PrecomputedLearner:
    """Encode all texts and return a precomputed reranker that starts from `base`.

    `base` is a transformers folder with a BERT, or the folder of an exported precomputed
    reranker. Raises as `encode_states`, `from_bert` and `from_folder` do.
    """
    from secondpass.train.precomputed.initial_weights import from_folder, is_precomputed

    encoder = open_encoder(encoder_folder, threads=settings.threads)
    passages = encode_states(
        encoder,
        texts.passages,
        tokens=settings.document_tokens,
        cache=cache,
        label="passages",
        progress=progress,
    )
    queries = encode_states(
        encoder,
        texts.queries,
        tokens=settings.query_tokens,
        cache=cache,
        label="queries",
        progress=progress,
    )
    if is_precomputed(base):
        reranker = from_folder(base)
        if reranker.config.width != passages.width:
            raise InputError(
                "The reranker and the encoder do not fit",
                where=str(base),
                why=f"the encoder's states have width {passages.width}, and the reranker needs "
                f"{reranker.config.width}",
                fix="Give --encoder the encoder that the reranker was trained with.",
            )
    else:
        bert = load_bert(base)
        config = PrecomputedConfig(
            hidden=int(bert.config.hidden_size),
            heads=int(bert.config.num_attention_heads),
            intermediate=int(bert.config.intermediate_size),
            layers=settings.layers,
            codes=settings.codes,
            width=passages.width,
            gate=float(settings.gate),
            matching=settings.matching,
        )
        sample = torch.from_numpy(passages.sample(SAMPLE, settings.seed))
        reranker = from_bert(config, bert, sample, settings.seed)
    encoder_description = {
        "encoder": {"path": str(encoder_folder.path.resolve()), "digest": encoder.digest},
        "document_tokens": settings.document_tokens,
    }
    return PrecomputedLearner(reranker, queries, passages, encoder_description)
