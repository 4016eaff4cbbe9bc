"""Language models in PyTorch that are read at one place: the logits of a few answers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
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
        if not self._is_decoder:
            sequences, prefix = [[*prefix, *ids] for ids in sequences], ()
        lengths = [len(ids) for ids in sequences]
        with torch.inference_mode():
            cache = self._read(prefix) if prefix else None
            for batch in plan_batches(
                lengths,
                token_budget=max(1, TOKEN_BUDGET - len(prefix)),
                step=PADDING_STEP,
                longest=longest - len(prefix),
            ):
                output[list(batch.rows)] = self._run(batch, sequences, len(prefix), cache)
        return output

    def _read(self, prefix: Ids) -> Any:
        """Return the keys and values of the prefix in every layer."""
        import torch

        ids = torch.tensor([list(prefix)], device=self._model.device)
        return self._model(input_ids=ids, use_cache=True).past_key_values

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
            if cache is not None:
                # The model appends to it: each batch has a copy.
                cache = copy.deepcopy(cache)
                cache.batch_repeat_interleave(rows)
            found = self._model(**inputs, past_key_values=cache, use_cache=cache is not None)
            last = inputs["attention_mask"].sum(1) - read - 1
            logits = found.logits[torch.arange(rows, device=last.device), last]
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)
