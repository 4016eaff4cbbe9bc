"""Training of scorers of answers on documents whose answering sentences are known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secondpass.errors import InputError
from secondpass.rerank.inputs import to_candidates
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.sentences import slice_sentences
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.retrieve.loaders.jsonl import rows
from secondpass.sentences import split_sentences
from secondpass.train.precomputed.answer_scorer import AnswerScorer
from secondpass.train.precomputed.sentence_scorer import SentenceScorer, pool_sentences

Progress = Callable[[str, int, int], None]

Places = list[tuple[int, int] | None]
ScoreExamples = Callable[[Sequence["SpanExample"]], tuple[Tensor, Tensor]]
"""Scores [examples, sentences], very low where there is no sentence, and which ones answer."""

# A sentence that is not of its row, in a row of log-odds.
_NONE = -1e4


@dataclass(frozen=True, slots=True)
class LabeledDocument:
    """A document, a query, and which of its sentences answer, by their place.

    The sentences are those of `split_sentences`.
    """

    query: str
    title: str
    text: str
    answers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SpanExample:
    """What a scorer reads of a labeled document.

    - `query_states`: [words, width]; `query_embedding`: [hidden].
    - `codes`: of the document's only window, [tokens, codes]; `sentences`: [start, end) of
      each sentence in it; `right`: which of them answer; `group`: what is held out together.
    """

    query_states: NDArray[np.float16]
    query_embedding: NDArray[np.float32]
    codes: NDArray[np.int8]
    sentences: tuple[tuple[int, int], ...]
    right: tuple[bool, ...]
    group: str


@dataclass(frozen=True, slots=True)
class SpanSettings:
    """How a scorer is trained.

    - `epochs`: passes over the examples; `batch`: documents a step.
    - `learning_rate`: falls linearly to 0.
    - `hold_out`: the share of groups that the model is not trained on.
    """

    epochs: float = 1.0
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: int = 50
    hold_out: float = 0.1
    seed: int = 0


def read_labeled(file: Path) -> list[LabeledDocument]:
    """Read JSON lines of `query`, `title`, `text` and `answers`.

    Raises `InputError` for an answer that is not the number of a sentence.
    """
    found = []
    for row in rows(file):
        query, text = row.text("query"), row.text("text")
        answers = row.values.get("answers")
        count = len(split_sentences(text))
        if (
            not isinstance(answers, list)
            or not answers
            or any(type(i) is not int or not 0 <= i < count for i in answers)
        ):
            raise row.wrong(
                f"'answers' is {answers!r:.80}, and must be places of sentences, from 0 to "
                f"{count - 1}"
            )
        title = str(row.values.get("title") or "")
        found.append(LabeledDocument(query, title, text, tuple(answers)))
    return found


def encode_examples(
    reranker: PrecomputedReranker,
    documents: Sequence[LabeledDocument],
    progress: Progress | None = None,
) -> tuple[list[SpanExample], int]:
    """Return the examples, and how many documents are none.

    Those are left out that are longer than one window, or have only one sentence or an
    answer without tokens.
    """
    options, examples, left_out = ScoringOptions(), [], 0
    windows: dict[tuple[str, str], tuple[NDArray[np.int8], Places]] = {}
    queries: dict[str, tuple[NDArray[np.float16], NDArray[np.float32]]] = {}
    for done, one in enumerate(documents, start=1):
        key = (one.title, one.text)
        if key not in windows:
            windows[key] = _read_window(reranker, one, options)
        codes, sentences = windows[key]
        right = [i in one.answers for i in range(len(sentences))]
        kept = [(s, r) for s, r in zip(sentences, right, strict=True) if s is not None]
        if progress is not None:
            progress("encode", done, len(documents))
        if len(kept) < 2 or not any(r for _, r in kept) or all(r for _, r in kept):
            left_out += 1
            continue
        if one.query not in queries:
            encoded = reranker.encode_query(one.query).encoded
            assert encoded.states is not None
            queries[one.query] = encoded.states.astype(np.float16), encoded.embedding
        states, embedding = queries[one.query]
        places, answers = zip(*kept, strict=True)
        examples.append(SpanExample(states, embedding, codes, places, answers, one.title))
    return examples, left_out


def _read_window(
    reranker: PrecomputedReranker, document: LabeledDocument, options: ScoringOptions
) -> tuple[NDArray[np.int8], Places]:
    """Return the codes of a document's window and its sentences; none of several windows."""
    candidates = to_candidates([{"title": document.title, "text": document.text}])
    (text,) = options.texts(candidates)
    (segments,) = reranker.segment([text])
    if len(segments.keys) != 1:
        return np.zeros((0, 0), np.int8), []
    slices = slice_sentences(text[1], split_sentences(document.text), segments)
    records = reranker.window_scorer(document.query, [text], options).records.get(segments.keys)
    places = [None if s is None else (s.start, s.end) for s in slices]
    return records[segments.keys[0]].codes, places


def split_examples(
    examples: Sequence[SpanExample], share: float, seed: int
) -> tuple[list[SpanExample], list[SpanExample]]:
    """Return those to train on and those held out: whole groups, at least one of each."""
    groups = sorted({example.group for example in examples})
    if len(groups) < 2:
        raise InputError(
            "the documents cannot be split",
            why="they all have one title, and documents of one title are kept together",
        )
    random.Random(seed).shuffle(groups)
    held_out = set(groups[: max(1, round(share * len(groups)))])
    used = [e for e in examples if e.group not in held_out]
    return used, [e for e in examples if e.group in held_out]


def train_scorer(
    scorer: nn.Module,
    score: ScoreExamples,
    examples: Sequence[SpanExample],
    settings: SpanSettings,
    progress: Progress | None = None,
) -> float:
    """Train in place; return the mean loss of the last hundred steps.

    `score` is how the scorer reads examples: by `score_sentences` or `score_texts`. The loss is
    the negative log-likelihood of the answering sentences in a softmax over those of the
    document.
    """
    torch.manual_seed(settings.seed)
    order = random.Random(settings.seed)
    trained = [p for p in scorer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = max(1, round(settings.epochs * len(examples) / settings.batch))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, step / settings.warm_up) * max(0.0, 1 - step / steps)
    )
    losses: list[float] = []
    while len(losses) < steps:
        for batch in _batches(examples, settings.batch, order):
            scorer.train()
            log_odds, right = score(batch)
            likely = log_odds.log_softmax(1) + (1 - right) * _NONE
            loss = -torch.logsumexp(likely, dim=1).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if progress is not None:
                progress("train", len(losses), steps)
            if len(losses) == steps:
                break
    scorer.eval()
    return float(np.mean(losses[-100:]))


def _batches(
    examples: Sequence[SpanExample], size: int, order: random.Random
) -> Iterator[list[SpanExample]]:
    """Yield batches of examples of about the same length, in random order."""
    keyed = sorted(examples, key=lambda example: len(example.codes) + order.random() * 20)
    batches = [keyed[i : i + size] for i in range(0, len(keyed), size)]
    order.shuffle(batches)
    yield from batches


def score_sentences(
    scorer: SentenceScorer, examples: Sequence[SpanExample]
) -> tuple[Tensor, Tensor]:
    """Score the sentences in their windows."""
    codes, mask = _pad([example.codes for example in examples])
    most = max(len(example.sentences) for example in examples)
    sentences = torch.zeros(len(examples), most, codes.shape[1])
    for row, example in enumerate(examples):
        for place, (start, end) in enumerate(example.sentences):
            sentences[row, place, start:end] = 1
    states, query_mask = _pad([example.query_states for example in examples])
    embeddings = torch.from_numpy(np.stack([example.query_embedding for example in examples]))
    scores = pool_sentences(scorer(states, query_mask, embeddings, codes, mask), sentences)
    present = sentences.sum(2) > 0
    right = torch.zeros(present.shape)
    right[present] = torch.tensor([float(r) for example in examples for r in example.right])
    return scores.masked_fill(~present, _NONE), right


def score_texts(scorer: AnswerScorer, examples: Sequence[SpanExample]) -> tuple[Tensor, Tensor]:
    """Score the sentences as texts of their own, between the special tokens of the window."""
    texts = [
        example.codes[[0, *range(start, end), -1]]
        for example in examples
        for start, end in example.sentences
    ]
    codes, mask = _pad(texts)
    states, query_mask = _pad([example.query_states for example in examples])
    counts = torch.tensor([len(example.sentences) for example in examples])
    query_of = torch.repeat_interleave(torch.arange(len(examples)), counts)
    embeddings = torch.from_numpy(np.stack([example.query_embedding for example in examples]))
    scores = scorer(states, query_mask, embeddings, codes, mask, query_of)
    place = torch.cat([torch.arange(int(count)) for count in counts])
    shape = (len(examples), int(counts.max()))
    found = torch.full(shape, _NONE).index_put((query_of, place), scores)
    answers = torch.tensor([float(r) for example in examples for r in example.right])
    return found, torch.zeros(shape).index_put((query_of, place), answers)


def _pad(arrays: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor]:
    shape = (len(arrays), max(map(len, arrays)))
    padded = np.zeros((*shape, arrays[0].shape[1]), dtype=np.float32)
    mask = np.zeros(shape, dtype=np.float32)
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = array
        mask[row, : len(array)] = 1
    return torch.from_numpy(padded), torch.from_numpy(mask)


@dataclass(frozen=True, slots=True)
class SpanMeasures:
    """On held-out documents: the share whose first sentence answers, and the calibration.

    `scale` and `shift` turn scores into log-odds by which the sentences' softmax, with the
    sharpness of `sentence_probabilities`, is as likely as can be.
    """

    documents: int
    first_answers: float
    scale: float
    shift: float


def measure_scorer(
    score: ScoreExamples, examples: Sequence[SpanExample], sharpness: float
) -> SpanMeasures:
    """Measure a scorer that is not in training, and fit the temperature by a search."""
    rows: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
    with torch.no_grad():
        for start in range(0, len(examples), 32):
            part = examples[start : start + 32]
            scores, right = score(part)
            for example, values, answers in zip(part, scores, right, strict=True):
                count = len(example.sentences)
                rows.append(
                    (
                        values[:count].numpy().astype(np.float64),
                        answers[:count].numpy().astype(bool),
                    )
                )
    hits = sum(bool(right[int(values.argmax())]) for values, right in rows)
    scales = np.geomspace(0.05, 2, 75)
    losses = [
        float(np.mean([_loss(scale * sharpness, *row) for row in rows])) for scale in scales
    ]
    scale = float(scales[int(np.argmin(losses))])
    # On average, a document's best sentence has the log-odds of being right that it has here.
    share = min(max(hits / len(rows), 1e-3), 1 - 1e-3)
    best = float(np.mean([scale * values.max() for values, _ in rows]))
    return SpanMeasures(
        len(rows), hits / len(rows), scale, float(np.log(share / (1 - share))) - best
    )


def _loss(sharpness: float, values: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    likely = sharpness * (values - values.max())
    return float(np.log(np.exp(likely).sum()) - np.log(np.exp(likely[right]).sum()))
