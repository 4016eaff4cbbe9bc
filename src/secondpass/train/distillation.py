"""Distillation of an encoder into one with fewer layers.

The student matches every token's last state of the teacher, and with it their mean, the
embedding; compare TinyBERT (Jiao et al., Findings of EMNLP 2020,
https://arxiv.org/abs/1909.10351).
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from secondpass.errors import InputError
from secondpass.train.export.trace import load_model
from secondpass.train.precomputed.states import EncoderStates

Progress = Callable[[str, int, int], None]

# Enough for fast products in a processor's cache.
TOKENS_PER_BATCH = 2048
# This many batches are cut from texts sorted by length, so that few tokens are padding.
SORTED_BATCHES = 32


@dataclass(frozen=True, slots=True)
class StudentSettings:
    """How the student is trained.

    - `layers`: which of the teacher's layers it starts from, in order.
    - `minutes`: how long; `learning_rate` rises during the first twentieth and falls to 0.
    - `states_weight`: weight of the distance of the tokens' states; that of the embeddings
      is 1.
    """

    layers: tuple[int, ...] = (0, 5)
    minutes: float = 15
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    states_weight: float = 1.0
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TeacherStates:
    """Texts with the teacher's states.

    `ids` are the tokens of each text, special ones included; `states` those of the teacher,
    in the same order. The last `hidden` numbers of a token's state are its last layer's.
    """

    ids: Sequence[Sequence[int]]
    states: EncoderStates


TextPosition = tuple[int, int]
"""The index of a part, and the index of a text in it."""


def distill_encoder(
    base: Path,
    parts: Sequence[TeacherStates],
    out: Path,
    settings: StudentSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Write a transformers folder with the student and return the settings and its quality.

    `base` is the teacher's transformers folder with a BERT. The embedding table stays as it
    is. In the result, `cosine` is the mean cosine of student and teacher embeddings on
    held-out texts. Raises InputError for layers that the teacher does not have.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    student = _student(base, settings.layers)
    rng = random.Random(settings.seed)
    positions = [(part, i) for part, texts in enumerate(parts) for i in range(len(texts.ids))]
    rng.shuffle(positions)
    tenth = len(positions) // 10
    held_out, training = positions[: min(500, tenth)], positions[tenth:]
    parameters = [p for n, p in student.named_parameters() if not n.startswith("embeddings.")]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    started, seconds, steps = time.monotonic(), settings.minutes * 60, 0
    student.train()
    for batch in _batches(training, parts, rng):
        share = (time.monotonic() - started) / seconds
        if share >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(share / 0.05, (1 - share) / 0.95)
        states_distance, cosine = _compare(student, parts, batch)
        loss = settings.states_weight * states_distance + (1 - cosine)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps += 1
        progress("distill", int(share * seconds), int(seconds))
    result = _validate(student, parts, held_out) | {"steps": steps, **asdict(settings)}
    student.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
    return result


def _student(base: Path, layers: Sequence[int]) -> Any:
    """Return the teacher with these layers alone, its embedding table frozen."""
    model = load_model(base, "embedder")
    count = len(model.encoder.layer)
    if not layers or not all(0 <= layer < count for layer in layers):
        raise InputError(
            "The teacher does not have these layers",
            why=f"{list(layers)} are not all between 0 and {count - 1}",
        )
    model.encoder.layer = torch.nn.ModuleList([model.encoder.layer[i] for i in layers])
    model.config.num_hidden_layers = len(layers)
    model.pooler = None
    for parameter in model.embeddings.parameters():
        parameter.requires_grad = False
    return model


def _batches(
    positions: Sequence[TextPosition], parts: Sequence[TeacherStates], rng: random.Random
) -> Iterator[list[TextPosition]]:
    """Yield batches of texts of about equal length, without end, in a random order."""
    average = sum(_length(parts, position) for position in positions) / len(positions)
    size = max(1, int(SORTED_BATCHES * TOKENS_PER_BATCH / average))
    while True:
        order = rng.sample(positions, len(positions))
        for start in range(0, len(order), size):
            by_length = sorted(
                order[start : start + size], key=lambda position: _length(parts, position)
            )
            batches = list(_split_batches(by_length, parts))
            rng.shuffle(batches)
            yield from batches


def _length(parts: Sequence[TeacherStates], position: TextPosition) -> int:
    part, text = position
    return len(parts[part].ids[text])


def _split_batches(
    positions: Sequence[TextPosition], parts: Sequence[TeacherStates]
) -> Iterator[list[TextPosition]]:
    """Split sorted positions into batches, each with texts of one part."""
    for part in range(len(parts)):
        batch: list[TextPosition] = []
        for position in positions:
            if position[0] != part:
                continue
            if batch and (len(batch) + 1) * _length(parts, position) > TOKENS_PER_BATCH:
                yield batch
                batch = []
            batch.append(position)
        if batch:
            yield batch


def _compare(
    student: Any, parts: Sequence[TeacherStates], batch: Sequence[TextPosition]
) -> tuple[Tensor, Tensor]:
    """Return the distance of the tokens' states, and the mean cosine of the embeddings."""
    part, texts = parts[batch[0][0]], [text for _, text in batch]
    longest = max(len(part.ids[text]) for text in texts)
    ids = np.zeros((len(batch), longest), dtype=np.int64)
    mask_array = np.zeros((len(batch), longest), dtype=np.float32)
    for row, text in enumerate(texts):
        ids[row, : len(part.ids[text])] = part.ids[text]
        mask_array[row, : len(part.ids[text])] = 1
    codes, scales = part.states.take(texts)
    mask = torch.from_numpy(mask_array)
    states = student(input_ids=torch.from_numpy(ids), attention_mask=mask.long())[0]
    hidden = states.shape[-1]
    target = torch.from_numpy(codes[:, -hidden:].astype(np.float32) * scales[:, None])
    # Relative to the size of a state, so that the weight means the same for all teachers.
    error = (states[mask.bool()] - target).square().sum(-1)
    distance = (error / target.square().sum(-1).mean()).mean()
    mean = (states * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    embeddings = torch.from_numpy(np.asarray(part.states.embeddings[texts]))
    return distance, functional.cosine_similarity(mean, embeddings, dim=1).mean()


def _validate(
    student: Any, parts: Sequence[TeacherStates], held_out: Sequence[TextPosition]
) -> dict[str, float]:
    student.eval()
    by_length = sorted(held_out, key=lambda position: _length(parts, position))
    with torch.no_grad():
        results = [
            _compare(student, parts, batch) for batch in _split_batches(by_length, parts)
        ]
    return {
        "states_error": round(float(np.mean([float(distance) for distance, _ in results])), 4),
        "cosine": round(float(np.mean([float(cosine) for _, cosine in results])), 4),
    }
