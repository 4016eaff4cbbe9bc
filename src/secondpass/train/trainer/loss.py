"""What training lowers: listwise softmax, and what may be added to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from secondpass.train.trainer.settings import Settings

Distillation = Literal["listwise", "margin-mse"]
# The bi-encoder's cosines as a distribution over a group.
COSINE_SCALE = 20.0


@dataclass(frozen=True, slots=True)
class Targets:
    """What is known of a batch of groups; the positive is in the first column.

    `weights` float32 [groups]: how much each counts. `cosines` float32 [groups, size], the
    bi-encoder's, and `teacher` float32 [groups, size], NaN where there is none, may be absent.
    """

    weights: Tensor
    cosines: Tensor | None = None
    teacher: Tensor | None = None


def loss(logits: Tensor, targets: Targets, settings: Settings) -> Tensor:
    """Return the mean loss of logits float32 [groups, size]."""
    wanted = torch.zeros_like(logits)
    wanted[:, 0] = 1
    if settings.soft > 0 and targets.cosines is not None:
        soft = functional.softmax(COSINE_SCALE * targets.cosines, dim=1)
        wanted = (1 - settings.soft) * wanted + settings.soft * soft
    found = listwise(logits, wanted)
    if targets.teacher is not None:
        taught = distilled(logits, targets.teacher, settings.distillation, settings.temperature)
        known = (~targets.teacher.isnan()).sum(1) >= 2
        mixed = (1 - settings.teacher) * found + settings.teacher * taught
        found = torch.where(known, mixed, found)
    if settings.pointwise > 0:
        labels = torch.zeros_like(logits)
        labels[:, 0] = 1
        each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        found = found + settings.pointwise * each.mean(1)
    return (found * targets.weights).sum() / targets.weights.sum()


def listwise(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the cross-entropy of each group with a wanted distribution, [groups]."""
    return -(wanted * functional.log_softmax(logits, dim=1)).sum(1)


def distilled(
    logits: Tensor, teacher: Tensor, kind: Distillation, temperature: float
) -> Tensor:
    """Return how far each group is from its teacher's scores, [groups]; NaN are left out.

    "listwise" is the divergence of the two softmax distributions, with the teacher's scores
    divided by `temperature`; "margin-mse" the squared difference of the distances between
    every two passages (Hofstätter et al., 2020, https://arxiv.org/abs/2010.02666), over
    `temperature` squared.
    """
    known = ~teacher.isnan()
    theirs = torch.where(known, teacher, torch.zeros_like(teacher)) / temperature
    if kind == "margin-mse":
        both = known[:, :, None] & known[:, None, :]
        mine = (logits[:, :, None] - logits[:, None, :]) / temperature
        error = (mine - (theirs[:, :, None] - theirs[:, None, :])) ** 2
        return (error * both).sum((1, 2)) / both.sum((1, 2)).clamp(min=1)
    hidden = torch.full_like(logits, -1e4)
    target = functional.log_softmax(torch.where(known, theirs, hidden), dim=1)
    mine = functional.log_softmax(torch.where(known, logits, hidden), dim=1)
    return (target.exp() * (target - mine)).sum(1)
