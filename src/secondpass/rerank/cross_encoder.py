"""A cross-encoder over a model folder: one logit of relevance for each pair."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, ModelDamagedError, ModelError, nearest
from secondpass.inference.batches import run_batched
from secondpass.inference.model_folder import (
    DEFAULT_LENGTH,
    ModelFolder,
    folder_identity,
    longest_input,
)
from secondpass.inference.native.build import numerics
from secondpass.inference.query_cut import QueryCut, cut_model_query
from secondpass.inference.runtimes import engine_from_environment, load_runtime
from secondpass.inference.runtimes.classifier_head import count_outputs, has_head
from secondpass.inference.tokenizer import Tokenizer
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.early_exit import early_exit_unsupported
from secondpass.rerank.score import Score, Scored, ScoringJob, SpanSource, make_window_scores
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import Sentences, read_sentences
from secondpass.rerank.windowing import (
    DocumentWindows,
    build_windows,
    max_pair_query,
    window_length,
)
from secondpass.types import Candidate, ScoreKind


def label_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a model's outputs, in order, from its config.json.

    transformers leaves them out where there are two with the default names.
    """
    labels = config.get("id2label")
    if isinstance(labels, Mapping) and labels:
        return tuple(str(labels[k]) for k in sorted(labels, key=int))
    return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels", 2))))


def positive_label(names: Sequence[str], label: str | int | None) -> int:
    """Return the position of the label that means "relevant"; by default -1, the last.

    Raises `InputError` for a label that the model does not have.
    """
    if label is None:
        return -1
    if isinstance(label, int) and 0 <= label < len(names):
        return label
    if label in names:
        return list(names).index(str(label))
    raise InputError(f"The model has no label {label!r}", fix=nearest(str(label), names))


def activation_name(folder: ModelFolder) -> str:
    """Return the activation that sentence-transformers applies to a model's outputs.

    "Identity", "Sigmoid" or "Softmax"; empty where the folder names none. Versions before 4,
    from 4 on and from 5.4 on store it in different places. Raises `ModelError` for another one,
    and for a prompt before every pair, which is not supported.
    """
    saved = folder.read_json("config_sentence_transformers.json")
    nested = folder.config.get("sentence_transformers")
    path = str(
        saved.get("activation_fn")
        or (nested.get("activation_fn") if isinstance(nested, Mapping) else None)
        or folder.config.get("sbert_ce_default_activation_function")
        or ""
    )
    name = path.rpartition(".")[2]
    if path and not (path.startswith("torch.") and name in ("Identity", "Sigmoid", "Softmax")):
        raise ModelError(
            "The activation of the model is not supported",
            where=str(folder.path),
            why=f"it is {path!r}",
            fix="Name torch.nn.modules.linear.Identity or torch.nn.modules.activation.Sigmoid "
            "in config_sentence_transformers.json, if the order is all that you need.",
        )
    prompt = saved.get("default_prompt_name")
    prompts = saved.get("prompts")
    if prompt is not None and isinstance(prompts, Mapping) and prompts.get(prompt):
        raise ModelError(
            "The model has a prompt before every pair, which is not supported",
            where=f"{folder.path}/config_sentence_transformers.json",
            why=f"default_prompt_name is {prompt!r}",
        )
    return name


def relevance_logits(
    outputs: NDArray[np.float32], positive: int, *, independent: bool = False
) -> NDArray[np.float64]:
    """Return the log-odds of the positive label, shape [pairs], from [pairs, labels].

    A single output is a logit already. With more, the log-odds of the positive one under
    softmax are its output less the log-sum-exp of the others. `independent` labels have a
    sigmoid each instead: the output is a logit.
    """
    wide = outputs.astype(np.float64).reshape(len(outputs), -1)
    if wide.shape[1] == 1:
        return wide[:, 0]
    if independent:
        return wide[:, positive]
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

    `label` is the output that means "relevant" of models with several (by name or position;
    the last by default). `threads` is the number of threads for one batch. The environment
    variable SECONDPASS_RUNTIME selects the runtime ("native", "onnxruntime", "openvino"), whose
    scores differ a little; with a `device`, such as "cuda", PyTorch runs the model there.
    Scores are logits whatever activation the folder names: that is the probability's. Raises
    `InputError` for a label that the model does not have and for `early_exit`, `ModelError` for
    an activation that is not known.
    """

    max_length: int

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
        early_exit: bool = False,
        device: str | None = None,
    ) -> None:
        self._name = name if name is not None else str(folder.manifest.get("name", folder.path))
        if early_exit:
            raise early_exit_unsupported(self._name)
        self._independent = activation_name(folder) == "Sigmoid"
        self.folder = folder
        self._tokenizer = Tokenizer(folder.path / "tokenizer.json")
        config = {"num_labels": count_outputs(folder)} if has_head(folder) else folder.config
        names = tuple(folder.manifest.get("labels", ())) or label_names(config)
        self._positive = positive_label(names, label)
        self.longest = longest_input(folder.config)
        self.max_length = int(
            folder.manifest.get("max_length", min(self.longest, DEFAULT_LENGTH))
        )
        self._runtime = load_runtime(
            folder, threads=threads, engine=engine_from_environment(), device=device
        )

    @property
    def model(self) -> str:
        """The name the model was loaded by."""
        return self._name

    @property
    def identity(self) -> str:
        """The fingerprint of the model for cache keys."""
        engine = numerics(self._runtime.engine)
        return folder_identity(self.folder, label=self._positive, engine=engine)

    def cut_query(self, query: str, max_tokens: int | None) -> QueryCut:
        """Return what is read of a query; it leaves room for the document."""
        limit = max_pair_query(self._tokenizer, self.longest)
        return cut_model_query(self._tokenizer, query, max_tokens, limit)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score each candidate by the log-odds of relevance of its best windows."""
        (scored,) = self.score_batch([ScoringJob(query, candidates, options)])
        return scored

    def score_batch(self, jobs: Sequence[ScoringJob]) -> list[Scored]:
        """Score the pairs of all queries in the same batches."""
        if not jobs:
            return []
        windows_of_jobs = [self._windows(job) for job in jobs]
        sequences = [
            sequence
            for windows_by_text in windows_of_jobs
            for windows in windows_by_text.values()
            for sequence in windows.sequences
        ]
        outputs = run_batched(
            self._runtime, sequences, pad_id=self._tokenizer.pad_id, longest=self.longest
        )
        if outputs.ndim > 2:
            raise ModelDamagedError(
                "The model is not a cross-encoder",
                where=str(self.folder.path),
                why=f"the output of the graph is {outputs.shape}, not a score for each pair",
            )
        logits = iter(
            relevance_logits(outputs, self._positive, independent=self._independent).tolist()
        )
        return [
            self._scored(job, windows_by_text, logits)
            for job, windows_by_text in zip(jobs, windows_of_jobs, strict=True)
        ]

    @property
    def spans_from(self) -> SpanSource:
        """Reading: each sentence of a returned document is one more pair."""
        return "reading"

    def score_sentences(
        self,
        query: str,
        candidates: Sequence[Candidate],
        sentences: Sequence[Sentences],
        options: ScoringOptions,
    ) -> Scored:
        """Score sentences as documents, up to 40 of each document (`read_sentences`)."""
        return read_sentences(self, query, candidates, sentences, options)

    def _windows(self, job: ScoringJob) -> dict[tuple[str, str], DocumentWindows]:
        """Return the windows of each distinct text: copies are read once, and tie exactly."""
        texts = list(dict.fromkeys(job.options.texts(job.candidates)))
        windows = build_windows(
            self._tokenizer,
            self.cut_query(job.query, job.options.max_query_tokens).text,
            texts,
            max_length=window_length(
                job.options.max_length,
                default=self.max_length,
                longest=self.longest,
                model=self._name,
            ),
            longest=self.longest,
            passages=job.options.passages,
            reach=job.options.tokens_in_reach,
            share=job.options.token_share,
            separator=job.options.separator,
        )
        return dict(zip(texts, windows, strict=True))

    def _scored(
        self,
        job: ScoringJob,
        windows_by_text: Mapping[tuple[str, str], DocumentWindows],
        logits: Iterator[float],
    ) -> Scored:
        """Take as many logits as there are windows."""
        scores = {}
        for text, windows in windows_by_text.items():
            count = len(windows.sequences)
            values = list(itertools.islice(logits, count))
            value = job.options.passages.combine(values)
            scores[text] = Score(
                value,
                sigmoid(value),
                count,
                windows.unread,
                window_scores=make_window_scores(windows.spans, values),
            )
        sequences = [s for windows in windows_by_text.values() for s in windows.sequences]
        return Scored(
            [scores[text] for text in job.options.texts(job.candidates)],
            ScoreKind.LOGIT,
            pairs=len(sequences),
            tokens=sum(len(ids) for ids, _ in sequences),
        )
