"""A shallow encoder that gives the states and embeddings of a deeper one.

Every token's last state is matched, and with it the mean of them, the embedding; compare
TinyBERT (Jiao et al., Findings of EMNLP 2020, https://arxiv.org/abs/1909.10351).
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
from secondpass.train.precomputed.states import States

Progress = Callable[[str, int, int], None]

# Enough for fast products on a processor's cache.
TOKENS_AT_ONCE = 2048
# Batches out of this many are cut from texts sorted by length, so that few tokens are padding.
BATCHES_SORTED = 32


@dataclass(frozen=True, slots=True)
class StudentSettings:
    """How a shallow encoder is trained.

    - `layers`: which of the teacher's layers it starts from, in order.
    - `minutes`: how long; `learning_rate` rises over the first twentieth and falls to 0.
    - `states_weight`: weight of the distance of the tokens' states, that of the
      embeddings' being 1.
    """

    layers: tuple[int, ...] = (0, 5)
    minutes: float = 15
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    states_weight: float = 1.0
    threads: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class DistilledModel:
    """Texts with what the teacher makes of them.

    `ids` are the tokens of each text, special ones included; `states` those of the teacher,
    in the same order, whose last `hidden` numbers of a token are its last layer's.
    """

    ids: Sequence[Sequence[int]]
    states: States


Spot = tuple[int, int]
"""Which part a text is in, and its place there."""


def distil_encoder(
    base: Path,
    taught: Sequence[DistilledModel],
    out: Path,
    settings: StudentSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Write a transformers folder with the shallow encoder and return what was reached.

    `base` is the teacher's transformers folder with a BERT. The embedding table is kept as
    it is. Of the result, `cosine` is the mean cosine of student and teacher embeddings on
    texts that were held out. Raises InputError for layers that the teacher does not have.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    student = _shallow(base, settings.layers)
    random_ = random.Random(settings.seed)
    places = [(part, i) for part, one in enumerate(taught) for i in range(len(one.ids))]
    random_.shuffle(places)
    held_out, used = places[: min(500, len(places) // 10)], places[len(places) // 10 :]
    trained = [p for n, p in student.named_parameters() if not n.startswith("embeddings.")]
    optimiser = torch.optim.AdamW(
        trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    started, seconds, steps = time.monotonic(), settings.minutes * 60, 0
    student.train()
    for batch in _batches(used, taught, random_):
        share = (time.monotonic() - started) / seconds
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * min(share / 0.05, (1 - share) / 0.95)
        distance, cosine = _distances(student, taught, batch)
        loss = settings.states_weight * distance + (1 - cosine)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        steps += 1
        progress("distil", int(share * seconds), int(seconds))
    result = _judge(student, taught, held_out) | {"steps": steps, **asdict(settings)}
    student.save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
    return result


def _shallow(base: Path, layers: Sequence[int]) -> Any:
    model = load_model(base, "embedder")
    have = len(model.encoder.layer)
    if not layers or not all(0 <= layer < have for layer in layers):
        raise InputError(
            "the teacher does not have these layers", why=f"{list(layers)}, of {have}"
        )
    model.encoder.layer = torch.nn.ModuleList([model.encoder.layer[i] for i in layers])
    model.config.num_hidden_layers = len(layers)
    model.pooler = None
    for parameter in model.embeddings.parameters():
        parameter.requires_grad = False
    return model


def _batches(
    places: Sequence[Spot], taught: Sequence[DistilledModel], random_: random.Random
) -> Iterator[list[Spot]]:
    """Cut batches of about equal length without end, in a random order."""
    average = sum(_length(taught, place) for place in places) / len(places)
    size = max(1, int(BATCHES_SORTED * TOKENS_AT_ONCE / average))
    while True:
        order = random_.sample(places, len(places))
        for start in range(0, len(order), size):
            some = sorted(order[start : start + size], key=lambda one: _length(taught, one))
            cut = list(_cut(some, taught))
            random_.shuffle(cut)
            yield from cut


def _length(taught: Sequence[DistilledModel], place: Spot) -> int:
    part, text = place
    return len(taught[part].ids[text])


def _cut(places: Sequence[Spot], taught: Sequence[DistilledModel]) -> Iterator[list[Spot]]:
    """Cut sorted places into batches, each of texts of one part."""
    for part in range(len(taught)):
        batch: list[Spot] = []
        for place in places:
            if place[0] != part:
                continue
            if batch and (len(batch) + 1) * _length(taught, place) > TOKENS_AT_ONCE:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch


def _distances(
    student: Any, taught: Sequence[DistilledModel], batch: Sequence[Spot]
) -> tuple[Tensor, Tensor]:
    """Return how far the tokens' states are, and the mean cosine of the embeddings."""
    part, texts = taught[batch[0][0]], [text for _, text in batch]
    longest = max(len(part.ids[text]) for text in texts)
    ids = np.zeros((len(batch), longest), dtype=np.int64)
    mask = np.zeros((len(batch), longest), dtype=np.float32)
    for row, text in enumerate(texts):
        ids[row, : len(part.ids[text])] = part.ids[text]
        mask[row, : len(part.ids[text])] = 1
    codes, scales = part.states.take(texts)
    there = torch.from_numpy(mask)
    found = student(input_ids=torch.from_numpy(ids), attention_mask=there.long())[0]
    hidden = found.shape[-1]
    wanted = torch.from_numpy(codes[:, -hidden:].astype(np.float32) * scales[:, None])
    # Relative to the size of a state, so that the weight means the same for all teachers.
    error = (found[there.bool()] - wanted).square().sum(-1)
    distance = (error / wanted.square().sum(-1).mean()).mean()
    mean = (found * there.unsqueeze(-1)).sum(1) / there.sum(1, keepdim=True)
    teacher = torch.from_numpy(np.asarray(part.states.embeddings[texts]))
    return distance, functional.cosine_similarity(mean, teacher, dim=1).mean()


def _judge(
    student: Any, taught: Sequence[DistilledModel], held_out: Sequence[Spot]
) -> dict[str, float]:
    student.eval()
    some = sorted(held_out, key=lambda one: _length(taught, one))
    with torch.no_grad():
        found = [_distances(student, taught, batch) for batch in _cut(some, taught)]
    return {
        "states_error": round(float(np.mean([float(one) for one, _ in found])), 4),
        "cosine": round(float(np.mean([float(one) for _, one in found])), 4),
    }
