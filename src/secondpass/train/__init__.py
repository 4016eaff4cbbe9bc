"""Training: examples, hard-negative mining, the training loop.

    >>> from secondpass.train import TrainSettings, mine, read_examples, train

Needs the extra `train`. Names are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondpass._lazy import load_public_name

if TYPE_CHECKING:
    from secondpass.train.data.examples import Examples, Group
    from secondpass.train.data.files import read_examples, split_groups, write_examples
    from secondpass.train.mining.mine import mine
    from secondpass.train.mining.negative_selection import MineSettings
    from secondpass.train.trainer.settings import TrainSettings
    from secondpass.train.trainer.train import RunLocation, train

_MODULES = {
    "Examples": "train.data.examples",
    "Group": "train.data.examples",
    "MineSettings": "train.mining.negative_selection",
    "RunLocation": "train.trainer.train",
    "TrainSettings": "train.trainer.settings",
    "mine": "train.mining.mine",
    "read_examples": "train.data.files",
    "split_groups": "train.data.files",
    "train": "train.trainer.train",
    "write_examples": "train.data.files",
}

__all__ = [
    "Examples",
    "Group",
    "MineSettings",
    "RunLocation",
    "TrainSettings",
    "mine",
    "read_examples",
    "split_groups",
    "train",
    "write_examples",
]


def __getattr__(name: str) -> object:
    return load_public_name(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return __all__
