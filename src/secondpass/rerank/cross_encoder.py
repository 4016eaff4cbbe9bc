"""A cross-encoder over a model folder.

From a classifier's outputs to one logit of relevance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest
from secondpass.inference.batches import run_batched
from secondpass.inference.model_folder import (
    DEFAULT_LENGTH,
    ModelFolder,
    folder_identity,
    longest_input,
)
from secondpass.inference.runtimes import engine_from_environment, load_runtime
from secondpass.inference.tokenizer import Tokenizer
from secondpass.rerank.base import BaseReranker, Score, Scored, ScoringJob, seen_windows
from secondpass.rerank.early_exit import no_exits
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.windowing import Windows, windows
from secondpass.types import Candidate, ScoreKind


def label_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a model's outputs, in order, from its config.json.

    transformers leaves them out where there are two with the default names.
    """
    named = config.get("id2label")
    if isinstance(named, Mapping) and named:
        return tuple(str(named[k]) for k in sorted(named, key=int))
    return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels", 2))))


def positive_label(names: Sequence[str], wanted: str | int | None) -> int:
    """Return the position of the label that means "relevant": -1, the last, unless told.

    Raises `InputError` for a label that the model does not have.
    """
    if wanted is None:
        return -1
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    if wanted in names:
        return list(names).index(str(wanted))
    raise InputError(f"The model has no label {wanted!r}", fix=nearest(str(wanted), names))


def relevance_logits(outputs: NDArray[np.float32], positive: int) -> NDArray[np.float64]:
    """Return the log-odds of the positive label, shape [pairs], from [pairs, labels].

    One label is a logit already. With more, the log-odds of the positive one under
    softmax are its output less the log-sum-exp of the others.
    """
    wide = outputs.astype(np.float64).reshape(len(outputs), -1)
    if wide.shape[1] == 1:
        return wide[:, 0]
    others = np.delete(wide, positive, axis=1)
    top = others.max(axis=1)
    logits: NDArray[np.float64] = (
        wide[:, positive] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
    )
    return logits


def sigmoid(logit: float) -> float:
    """Return the probability of a logit, in double precision, without overflow."""
    if logit >= 0:
        return float(1.0 / (1.0 + np.exp(-logit)))
    odds = np.exp(logit)
    return float(odds / (1.0 + odds))


class CrossEncoder(BaseReranker):
    """Scores each document by the log-odds that it is relevant to the query.

    `label` names the output that means "relevant" for models with several (by name or
    position; the last by default). `threads` is the number of threads for one batch. The
    environment variable SECONDPASS_RUNTIME may name the engine ("native", "onnxruntime",
    "openvino"), whose scores differ a little.
    """

    max_length: int

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
        exits: bool = False,
    ) -> None:
        self._name = name if name is not None else str(folder.manifest.get("name", folder.path))
        if exits:
            raise no_exits(self._name)
        self.folder = folder
        self._tokeniser = Tokenizer(folder.path / "tokenizer.json")
        names = tuple(folder.manifest.get("labels", ())) or label_names(folder.config)
        self._positive = positive_label(names, label)
        self.longest = longest_input(folder.config)
        self.max_length = int(
            folder.manifest.get("max_length", min(self.longest, DEFAULT_LENGTH))
        )
        self._runtime = load_runtime(folder, threads=threads, engine=engine_from_environment())

    @property
    def model(self) -> str:
        """The name the model was loaded by."""
        return self._name

    @property
    def identity(self) -> str:
        """What tells this model's scores from those of any other."""
        return folder_identity(self.folder, label=self._positive, engine=self._runtime.engine)

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score each candidate by the log-odds of relevance of its best windows."""
        (scored,) = self.score_together([ScoringJob(query, candidates, reading)])
        return scored

    def score_together(self, asked: Sequence[ScoringJob]) -> list[Scored]:
        """Score the pairs of all queries in the same batches."""
        if not asked:
            return []
        cut = [self._cut(one) for one in asked]
        sequences = [s for some in cut for one in some.values() for s in one.sequences]
        outputs = run_batched(
            self._runtime, sequences, pad_id=self._tokeniser.pad_id, longest=self.longest
        )
        logits = iter(relevance_logits(outputs, self._positive).tolist())
        return [self._scored(one, some, logits) for one, some in zip(asked, cut, strict=True)]

    def _cut(self, asked: ScoringJob) -> dict[tuple[str, str], Windows]:
        """Return the windows of each distinct text: copies are read once, and tie exactly."""
        distinct = list(dict.fromkeys(asked.reading.texts(asked.candidates)))
        found = windows(
            self._tokeniser,
            asked.query,
            distinct,
            max_length=self._window_length(asked.reading.max_length),
            longest=self.longest,
            passages=asked.reading.passages,
        )
        return dict(zip(distinct, found, strict=True))

    def _scored(
        self, asked: ScoringJob, cut: Mapping[tuple[str, str], Windows], logits: Iterator[float]
    ) -> Scored:
        """Take as many logits as there are windows."""
        scores = {}
        for text, document in cut.items():
            count = len(document.sequences)
            found = list(itertools.islice(logits, count))
            value = asked.reading.passages.combine(found)
            seen = seen_windows(document.spans, found)
            scores[text] = Score(value, sigmoid(value), count, document.unread, seen=seen)
        sequences = [s for document in cut.values() for s in document.sequences]
        return Scored(
            [scores[text] for text in asked.reading.texts(asked.candidates)],
            ScoreKind.LOGIT,
            pairs=len(sequences),
            tokens=sum(len(ids) for ids, _ in sequences),
        )

    def _window_length(self, wanted: int | None) -> int:
        if wanted is None:
            return self.max_length
        if wanted > self.longest:
            raise InputError(
                f"max_length is {wanted} and the model reads at most {self.longest} tokens",
                where=f"model {self._name}",
            )
        return wanted
