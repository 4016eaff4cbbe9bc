"""A cross-encoder over a model folder."""

from __future__ import annotations

from collections.abc import Sequence

from secondpass.engine.encoder import run_batched
from secondpass.engine.folder import ModelFolder
from secondpass.engine.identity import folder_identity
from secondpass.engine.positions import DEFAULT_LENGTH, longest_input
from secondpass.engine.runtimes import load_runtime, wanted_engine
from secondpass.engine.tokenise import Tokeniser
from secondpass.errors import InputError
from secondpass.rerank.base import BaseReranker, Score, Scored, seen_windows
from secondpass.rerank.cross_encoder.labels import (
    label_names,
    positive_label,
    relevance_logits,
    sigmoid,
)
from secondpass.rerank.cross_encoder.windows import windows
from secondpass.rerank.exits import no_exits
from secondpass.rerank.reading import Reading
from secondpass.types import Candidate, ScoreKind


class CrossEncoder(BaseReranker):
    """Scores each document by the log-odds that it is relevant to the query.

    `label` names the output that means "relevant" for models with several (by name or
    position; the last by default). `threads` is the number of threads for one batch. The
    environment variable SECONDPASS_RUNTIME may name another engine, "openvino"; its scores
    differ a little from ONNX Runtime's.
    """

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
        self._tokeniser = Tokeniser(folder.path / "tokenizer.json")
        names = tuple(folder.manifest.get("labels", ())) or label_names(folder.config)
        self._positive = positive_label(names, label)
        self.longest = longest_input(folder.config)
        self.max_length = int(
            folder.manifest.get("max_length", min(self.longest, DEFAULT_LENGTH))
        )
        self._engine = wanted_engine()
        self._runtime = load_runtime(folder, threads=threads, engine=self._engine)

    @property
    def model(self) -> str:
        """The name the model was loaded by."""
        return self._name

    @property
    def identity(self) -> str:
        """What tells this model's scores from those of any other."""
        return folder_identity(self.folder, label=self._positive, engine=self._engine)

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
        """Score each candidate by the log-odds of relevance of its best windows."""
        length = self._window_length(reading.max_length)
        texts = reading.texts(candidates)
        # Copies of one text are read once, so that they tie to the last bit.
        distinct = list(dict.fromkeys(texts))
        cut = windows(
            self._tokeniser,
            query,
            distinct,
            max_length=length,
            longest=self.longest,
            passages=reading.passages,
        )
        sequences = [s for document in cut for s in document.sequences]
        outputs = run_batched(
            self._runtime, sequences, pad_id=self._tokeniser.pad_id, longest=self.longest
        )
        logits = relevance_logits(outputs, self._positive).tolist()
        scores, position = {}, 0
        for text, document in zip(distinct, cut, strict=True):
            count = len(document.sequences)
            found = logits[position : position + count]
            value = reading.passages.combine(found)
            seen = seen_windows(document.spans, found)
            scores[text] = Score(value, sigmoid(value), count, document.unread, seen=seen)
            position += count
        return Scored(
            [scores[text] for text in texts],
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
