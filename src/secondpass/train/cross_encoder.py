"""Training of a cross-encoder, which reads query and passage together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secondpass.errors import InputError, ModelDamagedError
from secondpass.inference.runtimes.pretrained import silence_libraries
from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.train.export.source import window_length
from secondpass.train.export.trace import input_names
from secondpass.train.trainer.interface import PairIndices, ParameterGroup, Texts
from secondpass.train.trainer.settings import TrainSettings

# Pairs in a batch have equal lengths once rounded up to a multiple of this.
LENGTH_STEP = 8
MAX_BATCH = 64


class CrossEncoderLearner:
    """A sequence classifier with one label, and the tokens of all texts."""

    def __init__(self, model: Any, tokenizer: Tokenizer, texts: Texts, max_length: int) -> None:
        self.model = model
        self.max_length = max_length
        self._tokenizer = tokenizer
        self._input_names = input_names(model, "cross-encoder")
        self._queries = tokenizer.encode(list(texts.queries), max_length)
        self._passages = tokenizer.encode(list(texts.passages), max_length)

    @property
    def module(self) -> nn.Module:
        """The classifier."""
        module: nn.Module = self.model
        return module

    def parameter_groups(self, settings: TrainSettings) -> list[ParameterGroup]:
        """Return the encoder's and the head's parameters, each with its learning rate."""
        encoder_ids = {id(parameter) for parameter in self.model.base_model.parameters()}
        encoder: list[nn.Parameter] = []
        head: list[nn.Parameter] = []
        for parameter in self.model.parameters():
            (encoder if id(parameter) in encoder_ids else head).append(parameter)
        return [
            ParameterGroup(encoder, settings.learning_rate),
            ParameterGroup(head, settings.head_rate),
        ]

    def scores(self, pairs: Sequence[PairIndices]) -> Tensor:
        """Return a logit for each pair, [pairs]."""
        sequences = [self._sequence(pair) for pair in pairs]
        lengths = [-(-len(ids) // LENGTH_STEP) * LENGTH_STEP for ids, _ in sequences]
        order = sorted(range(len(pairs)), key=lambda i: lengths[i])
        batches = []
        start = 0
        while start < len(order):
            length = lengths[order[start]]
            stop = start
            while stop < min(len(order), start + MAX_BATCH) and lengths[order[stop]] == length:
                stop += 1
            batches.append(self._run([sequences[i] for i in order[start:stop]]))
            start = stop
        # Undo the sort.
        inverse = torch.empty(len(order), dtype=torch.int64)
        inverse[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(batches)[inverse.to(batches[0].device)]

    def cosines(self, pairs: Sequence[PairIndices]) -> None:
        """Return None: there is no bi-encoder."""
        return

    def description(self) -> dict[str, Any]:
        """Return the tokens of one window."""
        return {"max_length": self.max_length}

    def _sequence(self, pair: PairIndices) -> TokenSequence:
        """Join query and passage; the passage is truncated to fit the rest of the window."""
        query, passage = self._queries[pair.query], self._passages[pair.passage]
        query_ids = query.ids[: self.max_length // 2]
        room = max(0, self.max_length - self._tokenizer.pair.special - len(query_ids))
        return self._tokenizer.pair.join(query_ids, passage.ids[:room])

    def _run(self, sequences: Sequence[TokenSequence]) -> Tensor:
        shape = (len(sequences), max(len(ids) for ids, _ in sequences))
        ids = torch.full(shape, self._tokenizer.pad_id)
        mask = torch.zeros(shape, dtype=torch.int64)
        segments = torch.zeros(shape, dtype=torch.int64)
        for row, (tokens, types) in enumerate(sequences):
            ids[row, : len(tokens)] = torch.from_numpy(tokens)
            segments[row, : len(tokens)] = torch.from_numpy(types)
            mask[row, : len(tokens)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        device = self.model.device
        logits: Tensor = self.model(
            **{name: inputs[name].to(device) for name in self._input_names}
        ).logits
        return logits[:, 0]


def prepare_learner(texts: Texts, settings: TrainSettings, base: Path) -> CrossEncoderLearner:
    """Return a cross-encoder that starts from a transformers folder.

    An encoder without a head gets one. Raises InputError for a model with several labels,
    ModelDamagedError for one that cannot be read.
    """
    import transformers

    try:
        with silence_libraries():
            config = transformers.AutoConfig.from_pretrained(str(base), local_files_only=True)
            labels = _label_count(config)
            if labels is not None and labels != 1:
                raise InputError(
                    "The model has several labels",
                    where=str(base),
                    why=f"it has {labels}, and a reranker in training has one",
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
    max_length = min(
        window_length(base, model.config, None),
        settings.document_tokens + settings.query_tokens,
    )
    return CrossEncoderLearner(model, Tokenizer(base / "tokenizer.json"), texts, max_length)


def _label_count(config: Any) -> int | None:
    """Return the number of labels of a classifier, None for an encoder without a head."""
    classes = config.architectures or []
    if not any(str(name).endswith("ForSequenceClassification") for name in classes):
        return None
    return int(config.num_labels)
