"""Training settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from secondpass.errors import InputError, nearest
from secondpass.train.data.augment import Augmentation

Architecture = Literal["reader", "cross-encoder"]
Decay = Literal["linear", "cosine"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]

# The minimum and maximum of each number.
_RANGES: Mapping[str, tuple[float, float]] = {
    "epochs": (1e-9, 1e6),
    "minutes": (1e-9, 1e6),
    "group": (2, 1000),
    "batch": (1, 100_000),
    "strangers": (0, 1000),
    "learning_rate": (1e-9, 1),
    "gate_rate": (0, 1),
    "head_rate": (0, 1),
    "warm_up": (0, 1),
    "floor": (0, 1),
    "weight_decay": (0, 1),
    "clip": (1e-9, 1e9),
    "soft": (0, 1),
    "pointwise": (0, 1e3),
    "teacher": (0, 1),
    "temperature": (1e-3, 1e3),
    "variants": (0, 100),
    "average": (0, 0.999999),
    "keep_start": (0, 1),
    "hold_out": (0, 0.9),
    "hold_out_most": (1, 1e9),
    "candidates": (2, 1000),
    "validate_every": (1, 1e9),
    "patience": (1, 1e9),
    "query_tokens": (3, 8192),
    "document_tokens": (3, 8192),
    "checkpoint_seconds": (0, 1e9),
    "threads": (1, 1024),
    "layers": (1, 48),
    "codes": (1, 4096),
    "matching": (0, 4096),
    "gate": (-1e4, 1e4),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "architecture": get_args(Architecture),
    "decay": get_args(Decay),
    "device": get_args(Device),
    "precision": get_args(Precision),
    "distillation": ("listwise", "margin-mse"),
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train; the defaults are what measured best. The fields are keys of run.json.

    - `base`: the weights to start from, by default those of the bundled embedder in full
      precision; `encoder`: what encodes texts for a precomputed reranker ("reader"), by
      default the bundled one.
    - `epochs` over the data, or `minutes` instead; `group` passages for each query, at least
      `strangers` of them random; `batch` queries for each step.
    - `learning_rate` of the layers, `gate_rate` of gates and scale, `head_rate` of the
      head. They rise during the share `warm_up` of the run, then fall by `decay` to the share
      `floor`.
    - `soft`: share of the bi-encoder's distribution in the target; `pointwise`: weight of
      the binary cross-entropy, which calibrates; `teacher`: share of the teacher's scores,
      where there are any, by the loss `distillation`, at `temperature`.
    - `variants` of a query are made by `augmentation`; each is drawn as often as the query.
    - `caps`: the most groups of a source in an epoch, "" for all other sources; `weights`: the
      weight of a source's groups in the loss, by default 1.
    - `average`: decay of a moving average of the weights, 0 for none; `keep_start`: share
      of the first weights in the result, 0 for none (see `WeightAverage`).
    - `hold_out`: share of the queries held out for validation, at most `hold_out_most`, each
      among `candidates` passages, every `validate_every` steps (None: four times an epoch);
      training stops after `patience` validations without a better result.
    - `layers`, `codes`, `matching`, `gate`: see `PrecomputedConfig`.

    Raises InputError that names the first invalid setting.
    """

    architecture: Architecture = "reader"
    base: str | None = None
    encoder: str | None = None
    epochs: float = 2
    minutes: float | None = None
    group: int = 12
    batch: int = 20
    strangers: int = 2
    learning_rate: float = 1e-4
    gate_rate: float = 2e-2
    head_rate: float = 5e-4
    warm_up: float = 0.05
    floor: float = 0.03
    decay: Decay = "linear"
    weight_decay: float = 0.01
    clip: float = 1.0
    soft: float = 0.0
    pointwise: float = 0.1
    teacher: float = 0.7
    distillation: Literal["listwise", "margin-mse"] = "listwise"
    temperature: float = 1.0
    variants: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    caps: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    average: float = 0.0
    keep_start: float = 0.0
    hold_out: float = 0.02
    hold_out_most: int = 600
    candidates: int = 16
    validate_every: int | None = None
    patience: int | None = None
    query_tokens: int = 48
    document_tokens: int = 160
    layers: int = 2
    codes: int = 128
    matching: int = 128
    gate: float = -2.0
    seed: int = 0
    threads: int | None = None
    device: Device = "auto"
    precision: Precision = "auto"
    checkpoint_seconds: float = 120

    def __post_init__(self) -> None:
        for name, (minimum, maximum) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in ("minutes", "validate_every", "patience", "threads"):
                continue
            is_integer = isinstance(value, int) and not isinstance(value, bool)
            is_number = is_integer or isinstance(value, float)
            if not is_number or not minimum <= value <= maximum:
                raise InputError(
                    f"{name} cannot be {value!r}",
                    why=f"it must be from {minimum:g} to {maximum:g}",
                )
            if not is_integer and isinstance(_DEFAULTS[name], int) and name != "epochs":
                raise InputError(f"{name} cannot be {value!r}", why="it must be an integer")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"there is no {name} {value!r}", fix=nearest(value, choices))
        for source, weight in self.weights.items():
            if not weight > 0:
                raise InputError(
                    f"the weight of {source!r} cannot be {weight!r}", why="it must be above 0"
                )

    def as_object(self) -> dict[str, Any]:
        """Return a JSON object that `from_object` reads."""
        return asdict(self)

    @classmethod
    def from_object(cls, value: Mapping[str, Any]) -> TrainSettings:
        """Read what `as_object` returned; raises InputError for anything else."""
        try:
            return cls(**{**value, "augmentation": Augmentation(**value["augmentation"])})
        except (KeyError, TypeError) as error:
            raise InputError("the settings of a run cannot be read", why=str(error)) from error

    def differences(self, other: TrainSettings) -> list[str]:
        """Return the names of the settings that differ."""
        names = [item.name for item in fields(self)]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


_DEFAULTS: Mapping[str, Any] = {
    item.name: item.default if item.name not in ("validate_every", "patience", "threads") else 1
    for item in fields(TrainSettings)
}
