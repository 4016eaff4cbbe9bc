"""Training losses: listwise softmax, distillation from a teacher, pointwise calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from secondpass.train.trainer.settings import TrainSettings

Distillation = Literal["listwise", "margin-mse"]
# Makes a distribution over a group of the bi-encoder's cosines.
COSINE_SCALE = 20.0


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of a batch of groups; the positive is in the first column.

    `weights` float32 [groups]: how much each group counts. `cosines` float32 [groups, size],
    the bi-encoder's, and `teacher` float32 [groups, size], NaN where a score is missing, are
    optional.
    """

    weights: Tensor
    cosines: Tensor | None = None
    teacher: Tensor | None = None


def training_loss(logits: Tensor, targets: Targets, settings: TrainSettings) -> Tensor:
    """Return the weighted mean loss of logits float32 [groups, size]."""
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1
    distribution = labels
    if settings.soft > 0 and targets.cosines is not None:
        soft = functional.softmax(COSINE_SCALE * targets.cosines, dim=1)
        distribution = (1 - settings.soft) * labels + settings.soft * soft
    loss = listwise_loss(logits, distribution)
    if targets.teacher is not None:
        distillation = distillation_loss(
            logits, targets.teacher, settings.distillation, settings.temperature
        )
        # A teacher's order needs two scores.
        has_teacher = (~targets.teacher.isnan()).sum(1) >= 2
        mixed = (1 - settings.teacher) * loss + settings.teacher * distillation
        loss = torch.where(has_teacher, mixed, loss)
    if settings.pointwise > 0:
        pointwise = functional.binary_cross_entropy_with_logits(
            logits, labels, reduction="none"
        )
        loss = loss + settings.pointwise * pointwise.mean(1)
    return (loss * targets.weights).sum() / targets.weights.sum()


def listwise_loss(logits: Tensor, distribution: Tensor) -> Tensor:
    """Return the cross-entropy of each group with a target distribution, [groups]."""
    return -(distribution * functional.log_softmax(logits, dim=1)).sum(1)


def distillation_loss(
    logits: Tensor, teacher: Tensor, kind: Distillation, temperature: float
) -> Tensor:
    """Return how far each group is from its teacher's scores, [groups]; NaN are ignored.

    "listwise" is the Kullback-Leibler divergence of the two softmax distributions, with the
    teacher's scores divided by `temperature`; "margin-mse" the squared difference of the
    margins between every two passages (Hofstätter et al., 2020,
    https://arxiv.org/abs/2010.02666), over `temperature` squared.
    """
    known = ~teacher.isnan()
    scores = torch.where(known, teacher, torch.zeros_like(teacher)) / temperature
    if kind == "margin-mse":
        both_known = known[:, :, None] & known[:, None, :]
        margins = (logits[:, :, None] - logits[:, None, :]) / temperature
        error = (margins - (scores[:, :, None] - scores[:, None, :])) ** 2
        return (error * both_known).sum((1, 2)) / both_known.sum((1, 2)).clamp(min=1)
    masked = torch.full_like(logits, -1e4)
    target = functional.log_softmax(torch.where(known, scores, masked), dim=1)
    student = functional.log_softmax(torch.where(known, logits, masked), dim=1)
    return (target.exp() * (target - student)).sum(1)
