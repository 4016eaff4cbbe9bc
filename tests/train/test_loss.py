from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from secondpass.train.trainer.loss import Targets, distillation_loss, training_loss
from secondpass.train.trainer.settings import TrainSettings

PLAIN = TrainSettings(pointwise=0.0)
ONES = torch.ones(4)


def logits() -> torch.Tensor:
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


def test_the_plain_loss_is_cross_entropy() -> None:
    expected = functional.cross_entropy(logits(), torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(training_loss(logits(), Targets(ONES), PLAIN), expected)


def test_groups_count_by_their_weight() -> None:
    weights = torch.tensor([0.0, 0.0, 2.0, 0.0])
    alone = training_loss(logits()[2:3], Targets(ONES[:1]), PLAIN)
    torch.testing.assert_close(training_loss(logits(), Targets(weights), PLAIN), alone)


def test_soft_labels_of_the_bi_encoder_pull_towards_it() -> None:
    cosines = torch.rand(4, 5)
    settings = TrainSettings(soft=1.0, pointwise=0.0)
    at_it = training_loss(20 * cosines, Targets(ONES, cosines), settings)
    assert at_it < training_loss(logits(), Targets(ONES, cosines), settings)


@pytest.mark.parametrize("kind", ["listwise", "margin-mse"])
def test_distillation_is_least_at_the_teacher_and_blind_to_what_has_no_score(kind) -> None:  # type: ignore[no-untyped-def]
    teacher = logits()
    teacher[:, 4] = math.nan
    student = torch.where(teacher.isnan(), torch.tensor(3.0), teacher + 7)
    torch.testing.assert_close(
        distillation_loss(student, teacher, kind, 1.0), torch.zeros(4), atol=1e-5, rtol=0
    )
    other = student.clone()
    other[:, 4] = -50
    torch.testing.assert_close(
        distillation_loss(other, teacher, kind, 1.0), torch.zeros(4), atol=1e-5, rtol=0
    )
    assert (distillation_loss(torch.zeros(4, 5), teacher, kind, 1.0) > 0).all()


def test_gradients_are_finite_where_some_groups_have_no_teacher() -> None:
    teacher = logits()
    teacher[0] = math.nan
    student = logits().requires_grad_()
    for kind in ("listwise", "margin-mse"):
        settings = TrainSettings(distillation=kind)  # type: ignore[arg-type]
        training_loss(student, Targets(ONES, teacher=teacher), settings).backward()
        assert student.grad is not None
        assert student.grad.isfinite().all()


def test_calibration_lowers_logits_that_are_all_too_high() -> None:
    high = (logits() + 20).requires_grad_()
    training_loss(high, Targets(ONES), TrainSettings(pointwise=1.0)).backward()
    assert high.grad is not None
    assert high.grad.sum() > 0
