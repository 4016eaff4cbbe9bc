"""From a reranker's scores to the chance of relevance by somebody's labels."""

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

# Of log-odds: what tells apart two scores on one step of an isotonic calibration.
_TIE = 1e-3
_NEAREST_TO_CERTAIN = 1e-12


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the raw scores of one reranker become log-odds of relevance.

    - `method`: "platt" (`scale` · s + `shift`), "temperature" (`scale` · s) or "isotonic":
      `steps` are (score, probability), both rising, joined by lines and level outside.
    - `centre`, `spread`: of the scores it was fitted on.
    - `identity`, `model`: the reranker that it belongs to, see `identity_of`.
    - `reading`: how documents were read, see `reading_of`.
    - `about`: what it was fitted on and how good it is; nothing depends on it.

    It never changes an order: log-odds rise strictly with the score.
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
        scores, chances = [x for x, _ in self.steps], [p for _, p in self.steps]
        if self.method == "isotonic" and not (
            scores
            and scores == sorted(scores)
            and chances == sorted(chances)
            and 0 < chances[0] <= chances[-1] < 1
        ):
            raise InputError("The steps of an isotonic calibration must rise within 0 to 1")

    def log_odds(self, scores: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of relevance for raw scores, float64 of the same length."""
        raw = np.asarray(scores, dtype=np.float64)
        if self.method != "isotonic":
            return np.asarray(self.scale * raw + self.shift)
        steps = np.array(self.steps)
        chance = np.interp(raw, steps[:, 0], steps[:, 1])
        place = (raw - self.centre) / self.spread
        return np.asarray(np.log(chance / (1 - chance)) + _TIE * place / (1 + np.abs(place)))

    def as_object(self) -> dict[str, Any]:
        """Return what a calibration file holds."""
        return {"format": FORMAT, **asdict(self)}


def raw_score(value: float, kind: ScoreKind) -> float:
    """Return the number that a calibration starts from: log-odds, where there are any."""
    if kind is not ScoreKind.PROBABILITY:
        return value
    chance = min(max(value, _NEAREST_TO_CERTAIN), 1 - _NEAREST_TO_CERTAIN)
    return math.log(chance / (1 - chance))


def reading_of(reading: ScoringOptions) -> dict[str, Any]:
    """Return what scores depend on besides the model and the texts, as JSON has it."""
    return {
        "fields": None if reading.fields is None else list(reading.fields),
        "template": reading.template,
        "max_length": reading.max_length,
        "passages": asdict(reading.passages),
    }


def read_calibration(file: str | Path) -> Calibration:
    """Read what `secondpass calibrate` wrote; raises `InputError` for anything else."""
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
        raise _unusable(path, str(error)) from error
    except FileNotFoundError as error:
        raise InputError(
            "There is no calibration file",
            where=str(path),
            fix="Make one with: secondpass calibrate",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error


def _unusable(path: Path, why: str) -> InputError:
    return InputError(
        "The calibration cannot be used",
        where=str(path),
        why=why,
        fix="Make it again with: secondpass calibrate",
    )
