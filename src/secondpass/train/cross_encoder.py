"""A cross-encoder in training: query and passage are read together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secondpass.errors import InputError, ModelDamagedError
from secondpass.inference.tokenizer import Tokenizer, Tokens, TokenSequence
from secondpass.train.export.source import window
from secondpass.train.export.trace import input_names, quiet
from secondpass.train.trainer.interface import QueryBatch, ScoredBatch, Texts
from secondpass.train.trainer.settings import Settings

# Pairs that run together have lengths that are equal after rounding up to this step.
STEP = 8
AT_ONCE = 64


class CrossEncoderLearner:
    """A sequence classifier with one label, and the tokens of all texts."""

    def __init__(self, model: Any, tokeniser: Tokenizer, texts: Texts, length: int) -> None:
        self.model = model
        self.length = length
        self._tokeniser = tokeniser
        self._names = input_names(model, "cross-encoder")
        self._queries = tokeniser.encode(list(texts.queries), length)
        self._passages = tokeniser.encode(list(texts.passages), length)

    @property
    def module(self) -> nn.Module:
        """The classifier."""
        module: nn.Module = self.model
        return module

    def rated(self, settings: Settings) -> list[ScoredBatch]:
        """Return the encoder, and the head with its own rate."""
        base = {id(one) for one in self.model.base_model.parameters()}
        everything = list(self.model.parameters())
        return [
            ScoredBatch([one for one in everything if id(one) in base], settings.learning_rate),
            ScoredBatch([one for one in everything if id(one) not in base], settings.head_rate),
        ]

    def scores(self, pairs: Sequence[QueryBatch]) -> Tensor:
        """Return a logit for each pair, [pairs]."""
        sequences = [self._sequence(pair) for pair in pairs]
        widths = [-(-len(ids) // STEP) * STEP for ids, _ in sequences]
        order = sorted(range(len(pairs)), key=lambda i: widths[i])
        found = []
        start = 0
        while start < len(order):
            width = widths[order[start]]
            stop = start
            while stop < min(len(order), start + AT_ONCE) and widths[order[stop]] == width:
                stop += 1
            found.append(self._run([sequences[i] for i in order[start:stop]]))
            start = stop
        back = torch.empty(len(order), dtype=torch.int64)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(found)[back.to(found[0].device)]

    def cosines(self, pairs: Sequence[QueryBatch]) -> None:
        """Return None: there is no bi-encoder."""
        return

    def description(self) -> dict[str, Any]:
        """Return the tokens of one window."""
        return {"max_length": self.length}

    def _sequence(self, pair: QueryBatch) -> TokenSequence:
        query, passage = self._queries[pair.query], self._passages[pair.passage]
        first = _head(query, self.length // 2)
        room = max(0, self.length - self._tokeniser.pair.special - len(first))
        return self._tokeniser.pair.join(first, _head(passage, room))

    def _run(self, sequences: Sequence[TokenSequence]) -> Tensor:
        width = max(len(ids) for ids, _ in sequences)
        shape = (len(sequences), width)
        ids = torch.full(shape, self._tokeniser.pad_id)
        mask = torch.zeros(shape, dtype=torch.int64)
        segments = torch.zeros(shape, dtype=torch.int64)
        for row, (tokens, types) in enumerate(sequences):
            ids[row, : len(tokens)] = torch.from_numpy(tokens)
            segments[row, : len(tokens)] = torch.from_numpy(types)
            mask[row, : len(tokens)] = 1
        values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        device = self.model.device
        logits: Tensor = self.model(**{n: values[n].to(device) for n in self._names}).logits
        return logits[:, 0]


def _head(tokens: Tokens, count: int) -> Sequence[int]:
    return tokens.ids[:count]


def prepare(texts: Texts, settings: Settings, base: Path) -> CrossEncoderLearner:
    """Return a cross-encoder that starts from a transformers folder.

    A head is added where there is none. Raises InputError for a model with several labels,
    ModelDamagedError for one that cannot be read.
    """
    import transformers

    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(str(base), local_files_only=True)
            labels = _labels(config)
            if labels is not None and labels != 1:
                raise InputError(
                    "The model has several labels",
                    where=str(base),
                    why=f"it has {labels}, and a reranker that is trained has one",
                    fix="Start from a model with one label, or from an encoder.",
                )
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                str(base),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                num_labels=1,
                dtype=torch.float32,
            )
    except InputError:
        raise
    # safetensors raises its own error type, directly under Exception.
    except Exception as error:
        raise ModelDamagedError(
            "The model to start from cannot be read",
            where=str(base),
            why=str(error).splitlines()[0],
        ) from error
    length = window(base, model.config, None)
    length = min(length, settings.document_tokens + settings.query_tokens)
    return CrossEncoderLearner(model, Tokenizer(base / "tokenizer.json"), texts, length)


def _labels(config: Any) -> int | None:
    """Return how many labels a classifier has, None for an encoder without a head."""
    named = config.architectures or []
    if not any(str(one).endswith("ForSequenceClassification") for one in named):
        return None
    return int(config.num_labels)
