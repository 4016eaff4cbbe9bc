"""Language models in PyTorch that are read at one place: the logits of a few answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from secondpass.inference.batches import PADDING_STEP, TOKEN_BUDGET, Batch, plan_batches
from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.runtimes.pretrained import load_pretrained
from secondpass.inference.types import Float32

Ids = Sequence[int]


class AnswerModel:
    """A decoder, or an encoder and decoder, whose output layer is cut to a few answers.

    - `answers`: the token ids whose logits are computed; the vocabulary's other rows of the
      output layer are not.
    - `device`: where it runs, such as "cuda"; None is the CPU.

    A decoder (`ForCausalLM`) is read behind the last token of a sequence, an encoder and
    decoder at the first token that it would write. Safe to call from several threads at once.
    Raises what `load_pretrained` raises.
    """

    engine = "torch"

    def __init__(
        self, folder: ModelFolder, answers: Sequence[int], *, device: str | None = None
    ) -> None:
        self._is_decoder = folder.architecture == "causal-lm"
        auto = "AutoModelForCausalLM" if self._is_decoder else "AutoModelForSeq2SeqLM"
        self._model = load_pretrained(folder, auto, device=device)
        self._keep_rows(answers)
        self._width = len(answers)

    def _keep_rows(self, answers: Sequence[int]) -> None:
        """Replace the output layer, so that all else that the model does to logits stays."""
        import torch

        layer = self._model.get_output_embeddings()
        kept = torch.nn.Linear(layer.in_features, len(answers), bias=layer.bias is not None)
        with torch.no_grad():
            kept.weight.copy_(layer.weight[list(answers)])
            if layer.bias is not None:
                kept.bias.copy_(layer.bias[list(answers)])
        self._model.set_output_embeddings(kept.eval().to(self._model.device))

    def logits(self, prefix: Ids, sequences: Sequence[Ids], *, longest: int) -> Float32:
        """Return the logits of the answers behind each sequence, [sequences, answers].

        Every sequence follows `prefix`, which a decoder reads once for all of them. With it a
        sequence has at most `longest` tokens, and at least one of its own.
        """
        import torch

        output = np.empty((len(sequences), self._width), dtype=np.float32)
        with torch.inference_mode():
            cache = self._read(prefix) if self._is_decoder and prefix else None
            if cache is None:
                sequences, prefix = [[*prefix, *ids] for ids in sequences], ()
            for batch in plan_batches(
                [len(ids) for ids in sequences],
                token_budget=max(1, TOKEN_BUDGET - len(prefix)),
                step=PADDING_STEP,
                longest=longest - len(prefix),
            ):
                output[list(batch.rows)] = self._run(batch, sequences, len(prefix), cache)
        return output

    def _read(self, prefix: Ids) -> Any:
        """Return the keys and values of the prefix in every layer, for any number of batches.

        None for a model whose state is not a row for each token, as that of a convolution.
        """
        import torch
        from transformers.cache_utils import DynamicLayer

        ids = torch.tensor([list(prefix)], device=self._model.device)
        cache = self._model(input_ids=ids, use_cache=True).past_key_values
        layers = getattr(cache, "layers", None)
        if not layers or not all(isinstance(layer, DynamicLayer) for layer in layers):
            return None
        for layer in layers:
            layer.update = partial(_join, layer.keys, layer.values)
        return cache

    def _run(self, batch: Batch, sequences: Sequence[Ids], read: int, cache: Any) -> Float32:
        """Run one batch, padded behind the tokens, so that positions are those of one alone."""
        import torch

        rows = len(batch.rows)
        ids = torch.zeros((rows, batch.length), dtype=torch.int64)
        mask = torch.zeros((rows, read + batch.length), dtype=torch.int64)
        for row, position in enumerate(batch.rows):
            sequence = list(sequences[position])
            ids[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : read + len(sequence)] = 1
        inputs = {
            "input_ids": ids.to(self._model.device),
            "attention_mask": mask.to(self._model.device),
        }
        if not self._is_decoder:
            start = int(self._model.config.decoder_start_token_id)
            first = torch.full((rows, 1), start, device=self._model.device)
            logits = self._model(**inputs, decoder_input_ids=first, use_cache=False).logits[
                :, 0
            ]
        else:
            found = self._model(**inputs, past_key_values=cache, use_cache=cache is not None)
            last = inputs["attention_mask"].sum(1) - read - 1
            logits = found.logits[torch.arange(rows, device=last.device), last]
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)


def _join(
    before_keys: Any, before_values: Any, keys: Any, values: Any, *_: object
) -> tuple[Any, Any]:
    """Return the prefix's keys and values of one layer, then those of the batch; keep neither.

    A layer of transformers' cache keeps what it is given for the next token. There is none
    here, so the memory of a batch is that of one layer, not of all of them.
    """
    import torch

    shape = (keys.shape[0], -1, -1, -1)
    return (
        torch.cat([before_keys.expand(shape), keys], dim=-2),
        torch.cat([before_values.expand(shape), values], dim=-2),
    )
