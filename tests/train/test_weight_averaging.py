from __future__ import annotations

import torch
from torch import nn

from secondpass.train.trainer.weight_averaging import WeightAverage


def _set(module: nn.Linear, value: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)


def test_a_share_of_the_first_weights_is_kept_and_lent() -> None:
    module = nn.Linear(2, 1)
    _set(module, 1.0)
    average = WeightAverage(module, decay=0.0, keep=0.25)
    _set(module, 5.0)
    assert all(float(w.mean()) == 4.0 for w in average.weights(module).values())
    with average.applied_to(module):
        assert float(module.bias.detach()) == 4.0
    assert float(module.bias.detach()) == 5.0


def test_a_checkpoint_brings_the_first_weights_back() -> None:
    module = nn.Linear(2, 1)
    _set(module, 1.0)
    state = WeightAverage(module, decay=0.5, keep=0.5).state()
    _set(module, 9.0)
    restored = WeightAverage(module, decay=0.5, keep=0.5)
    restored.restore(state)
    assert all(float(w.mean()) == 1.0 for w in restored.weights(module).values())


def test_without_either_the_weights_are_the_module() -> None:
    module = nn.Linear(2, 1)
    average = WeightAverage(module, decay=0.0)
    _set(module, 7.0)
    assert all(float(w.mean()) == 7.0 for w in average.weights(module).values())
