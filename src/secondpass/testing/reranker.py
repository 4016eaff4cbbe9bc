"""A fake reranker with scripted scores and failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.types import Candidate, ScoreKind

Script = Mapping[str, float] | Callable[[str, str], float]
"""Scores by a document's id or text, or a function of query and text."""


@dataclass(frozen=True, slots=True)
class RerankerCall:
    """The arguments of one call of `score`."""

    query: str
    candidates: tuple[Candidate, ...]
    options: ScoringOptions


class ScriptedReranker(BaseReranker):
    """Returns the scores of a script, raises scripted errors, and records its calls.

    - `script`: scores by a document's id or text, or a function of query and text. A document
      that a mapping does not have gets `default`, or raises `InputError` where that is None.
    - `failures`: errors to raise, one a call, before anything is scored.
    - `kind`: the kind of the scores; those of `ScoreKind.PROBABILITY` are also the
      `probability`.

    `calls` has the arguments of every call. Thread-safe.
    """

    def __init__(
        self,
        script: Script,
        *,
        default: float | None = 0.0,
        failures: Iterable[Exception] = (),
        kind: ScoreKind = ScoreKind.SIMILARITY,
        model: str = "scripted",
    ) -> None:
        if not callable(script) and not isinstance(script, Mapping):
            raise InputError(f"script must be a mapping or a function, not {script!r:.80}")
        self.script, self.default, self.kind = script, default, kind
        self.calls: list[RerankerCall] = []
        self._model = model
        self._failures = list(failures)
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """The name that was given."""
        return self._model

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Raise the next failure, or return the scores of the script."""
        with self._lock:
            self.calls.append(RerankerCall(query, tuple(candidates), options))
            failure = self._failures.pop(0) if self._failures else None
        if failure is not None:
            raise failure
        values = [self._value(query, c) for c in candidates]
        is_probability = self.kind is ScoreKind.PROBABILITY
        scores = [Score(v, probability=v if is_probability else None) for v in values]
        return Scored(scores, self.kind, pairs=len(scores))

    def _value(self, query: str, candidate: Candidate) -> float:
        document = candidate.document
        if callable(self.script):
            return float(self.script(query, document.text))
        for name in (document.id, document.text):
            if name is not None and name in self.script:
                return float(self.script[name])
        if self.default is None:
            raise InputError(
                f"The script has no score for {document.id or document.text!r:.80}"
            )
        return self.default
