"""Calibrations: from a reranker's scores to log-odds of relevance, fitted to labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import ScoreKind

FORMAT = 1
METHODS = ("platt", "temperature", "isotonic")

# In log-odds: the difference of two scores on one step of an isotonic calibration.
_TIE_BREAK = 1e-3
# Probabilities are kept this far from 0 and 1, where log-odds are infinite.
_EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class Calibration:
    """A function from the raw scores of one reranker to log-odds of relevance.

    - `method`: "platt" (`scale` · s + `shift`), "temperature" (`scale` · s) or "isotonic":
      `steps` are (score, probability), both rising, interpolated linearly, constant outside.
    - `centre`, `spread`: mean and standard deviation of the scores it was fitted on.
    - `identity`, `model`: the reranker that it belongs to, see `model_identity`.
    - `reading`: the scoring options it was fitted with, see `scoring_conditions`.
    - `about`: what it was fitted on and how good it is; nothing depends on it.

    It never changes an order: log-odds rise strictly with the score. Raises `InputError` for an
    unknown method and for numbers out of range.
    """

    method: str
    model: str
    identity: str
    scale: float = 1.0
    shift: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()
    centre: float = 0.0
    spread: float = 1.0
    reading: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(
                f"There is no calibration {self.method!r}", fix=nearest(self.method, METHODS)
            )
        numbers = (self.scale, self.shift, self.centre, self.spread, *sum(self.steps, ()))
        if not all(map(math.isfinite, numbers)) or self.scale <= 0 or self.spread <= 0:
            raise InputError("A calibration needs finite numbers, scale and spread above 0")
        scores, probabilities = [x for x, _ in self.steps], [p for _, p in self.steps]
        if self.method == "isotonic" and not (
            scores
            and scores == sorted(scores)
            and probabilities == sorted(probabilities)
            and 0 < probabilities[0] <= probabilities[-1] < 1
        ):
            raise InputError("The steps of an isotonic calibration must rise within 0 to 1")

    def log_odds(self, scores: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of relevance for raw scores, float64 of the same length."""
        raw = np.asarray(scores, dtype=np.float64)
        if self.method != "isotonic":
            return np.asarray(self.scale * raw + self.shift)
        steps = np.array(self.steps)
        probability = np.interp(raw, steps[:, 0], steps[:, 1])
        z = (raw - self.centre) / self.spread
        log_odds = np.log(probability / (1 - probability))
        return np.asarray(log_odds + _TIE_BREAK * z / (1 + np.abs(z)))

    def as_object(self) -> dict[str, Any]:
        """Return the content of a calibration file."""
        return {"format": FORMAT, **asdict(self)}


def raw_score(value: float, kind: ScoreKind) -> float:
    """Return the input of a calibration: the log-odds of a probability, else the score."""
    if kind is not ScoreKind.PROBABILITY:
        return value
    probability = min(max(value, _EPSILON), 1 - _EPSILON)
    return math.log(probability / (1 - probability))


def scoring_conditions(options: ScoringOptions) -> dict[str, Any]:
    """Return the options that scores depend on, as a calibration file has them."""
    limits = {
        name: value
        for name in ("max_tokens_per_doc", "max_query_tokens")
        if (value := getattr(options, name)) is not None
    }
    return {
        "fields": None if options.fields is None else list(options.fields),
        "template": options.template,
        "max_length": options.max_length,
        "passages": asdict(options.passages),
        **limits,
    }


def read_calibration(file: str | Path) -> Calibration:
    """Read a file that `secondpass calibrate` wrote; raises `InputError` for anything else."""
    path = Path(file)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] > FORMAT:
            raise InputError(
                "The calibration was written by a newer version",
                where=str(path),
                fix="Update with: pip install -U secondpass",
            )
        return Calibration(
            method=str(stored["method"]),
            model=str(stored["model"]),
            identity=str(stored["identity"]),
            scale=float(stored["scale"]),
            shift=float(stored["shift"]),
            steps=tuple((float(x), float(p)) for x, p in stored["steps"]),
            centre=float(stored["centre"]),
            spread=float(stored["spread"]),
            reading=dict(stored["reading"]),
            about=dict(stored["about"]),
        )
    except InputError as error:
        if error.where is not None:
            raise
        raise _not_valid(path, str(error)) from error
    except FileNotFoundError as error:
        raise InputError(
            "There is no calibration file",
            where=str(path),
            fix="Make one with: secondpass calibrate",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not_valid(path, f"{type(error).__name__}: {error}") from error


def _not_valid(path: Path, why: str) -> InputError:
    return InputError(
        "The calibration cannot be used",
        where=str(path),
        why=why,
        fix="Make it again with: secondpass calibrate",
    )
