"""Weight averaging: averaged weights often validate better than the last ones.

Two averages: a moving one over the latest steps, and one with the weights that training began
from, which keeps what they knew of other domains (WiSE-FT, Wortsman et al., CVPR 2022,
https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of a module's weights, mixed with its first weights.

    `decay`, 0 to 1, is that of the moving average; `keep`, 0 to 1, is the share of the first
    weights in `weights`. With 0 for both nothing is stored, and the average is the module
    itself.
    """

    def __init__(self, module: nn.Module, decay: float, keep: float = 0.0) -> None:
        self.decay, self.keep = decay, keep
        self.steps = 0
        self._mean: dict[str, Tensor] = _copy(module) if decay > 0 else {}
        self._start: dict[str, Tensor] = _copy(module) if keep > 0 else {}

    def update(self, module: nn.Module) -> None:
        """Add the weights after a step to the moving average."""
        if not self.decay:
            return
        self.steps += 1
        # A smaller decay at first: the first weights would otherwise count too much.
        decay = min(self.decay, self.steps / (self.steps + 10))
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                if tensor.is_floating_point():
                    self._mean[name].lerp_(tensor, 1 - decay)

    def weights(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the averaged weights by name."""
        averaged = dict(self._mean) if self.decay else dict(module.state_dict())
        for name, first in self._start.items():
            if first.is_floating_point():
                averaged[name] = torch.lerp(averaged[name], first, self.keep)
        return averaged

    @contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """Put the averaged weights into the module inside the block, and restore its own."""
        if not self.decay and not self.keep:
            yield
            return
        own = _copy(module)
        module.load_state_dict(self.weights(module))
        try:
            yield
        finally:
            module.load_state_dict(own)

    def state(self) -> dict[str, object]:
        """Return what a checkpoint stores."""
        return {"steps": self.steps, "mean": self._mean, "start": self._start}

    def restore(self, state: Mapping[str, object]) -> None:
        """Load what `state` returned."""
        steps = state["steps"]
        assert isinstance(steps, int)
        self.steps = steps
        for tensors, saved in ((self._mean, state["mean"]), (self._start, state["start"])):
            assert isinstance(saved, dict)
            for name, tensor in saved.items():
                tensors[name].copy_(tensor)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
