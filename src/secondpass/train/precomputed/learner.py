"""A reader in training: its encoder is frozen, so all texts are encoded beforehand."""

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
    States,
    encode_states,
    gather_documents,
    gather_queries,
)
from secondpass.train.trainer.interface import QueryBatch, ScoredBatch, Texts
from secondpass.train.trainer.settings import Settings

Progress = Callable[[str, int, int], None]
# Passages whose states the compression is found from.
SAMPLE = 400


class PrecomputedLearner:
    """A reader with the states of all queries and passages."""

    def __init__(
        self,
        reader: PrecomputedModule,
        queries: States,
        passages: States,
        about: dict[str, Any],
    ) -> None:
        self.reader = reader
        # Codes that were kept of documents stay good for every reader trained from this one.
        reader.compress.requires_grad_(False)
        self.queries, self.passages = queries, passages
        self._about = about

    @property
    def module(self) -> nn.Module:
        """The reader."""
        return self.reader

    def rated(self, settings: Settings) -> list[ScoredBatch]:
        """Return gates and scale, head, and layers, each with its own rate."""
        fast: list[nn.Parameter] = [self.reader.scale, self.reader.shift]
        head = list(self.reader.head.parameters())
        rest: list[nn.Parameter] = []
        for name, parameter in self.reader.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.endswith(".gate"):
                fast.append(parameter)
            elif name == "match_weights":
                head.append(parameter)
            elif not any(parameter is one for one in (*fast, *head)):
                rest.append(parameter)
        return [
            ScoredBatch(rest, settings.learning_rate),
            ScoredBatch(fast, settings.gate_rate, decay=False),
            ScoredBatch(head, settings.head_rate),
        ]

    def scores(self, pairs: Sequence[QueryBatch]) -> Tensor:
        """Return a logit for each pair, [pairs]."""
        device = str(self.reader.scale.device)
        logits: Tensor = self.reader(
            gather_queries(self.queries, [pair.query for pair in pairs], device),
            gather_documents(self.passages, [pair.passage for pair in pairs], device),
        )
        return logits

    def cosines(self, pairs: Sequence[QueryBatch]) -> Tensor:
        """Return the encoder's cosine of each pair, [pairs]."""
        queries = self.queries.embeddings[[pair.query for pair in pairs]]
        passages = self.passages.embeddings[[pair.passage for pair in pairs]]
        found = np.asarray((queries * passages).sum(axis=1), dtype=np.float32)
        return torch.from_numpy(found).to(self.reader.scale.device)

    def description(self) -> dict[str, Any]:
        """Return the reader's shape and its encoder."""
        return {"reader": self.reader.config.as_object(), **self._about}


def prepare(
    texts: Texts,
    settings: Settings,
    encoder_folder: ModelFolder,
    base: Path,
    cache: Path,
    progress: Progress,
) -> PrecomputedLearner:
    """Encode all texts and return a reader that starts from `base`.

    `base` is a transformers folder with a BERT, or a reader's folder. Raises as
    `encode_states`, `from_bert` and `from_folder` do.
    """
    from secondpass.train.precomputed.initial_weights import from_folder, is_reader

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
    if is_reader(base):
        reader = from_folder(base)
        if reader.config.width != passages.width:
            raise InputError(
                "the reader and the encoder do not fit",
                where=str(base),
                why=f"states have width {passages.width}, and it reads {reader.config.width}",
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
        reader = from_bert(config, bert, sample, settings.seed)
    about = {
        "encoder": {"path": str(encoder_folder.path.resolve()), "digest": encoder.digest},
        "document_tokens": settings.document_tokens,
    }
    return PrecomputedLearner(reader, queries, passages, about)
