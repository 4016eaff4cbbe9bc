"""From examples to what a run reads: texts, samples, and the groups that judge."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.train.data.augment import variants
from secondpass.train.data.examples import Examples, Group
from secondpass.train.data.files import split_groups
from secondpass.train.data.sampling import Sample, Sampler, fill
from secondpass.train.trainer.interface import QueryBatch, Texts
from secondpass.train.trainer.settings import Settings


@dataclass(frozen=True, slots=True)
class Judged:
    """A held-out group: its candidates, the positives first, and where it is from."""

    pairs: tuple[QueryBatch, ...]
    positives: int
    source: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    `asked[i]` are the places in `texts.queries` of the wordings of group i, the first its
    own.
    """

    texts: Texts
    sampler: Sampler
    asked: Sequence[tuple[int, ...]]
    judged: Sequence[Judged]
    seed: int

    @property
    def groups(self) -> Sequence[Group]:
        """The groups that are trained on."""
        return self.sampler.groups

    def wording(self, place: int, epoch: int) -> int:
        """Return which wording of a group's query an epoch uses, a place in the texts."""
        chance = random.Random(f"wording {self.seed} {epoch} {place}")
        return chance.choice(self.asked[place])

    def pairs(self, sample: Sample, epoch: int) -> list[QueryBatch]:
        """Return the pairs of a sample, that of the positive first."""
        query = self.wording(sample.group, epoch)
        return [QueryBatch(query, passage) for passage in sample.passages]


def make_plan(examples: Examples, settings: Settings) -> Plan:
    """Hold some groups out, word the queries of the others anew, and prepare sampling.

    Raises InputError as `Sampler` does.
    """
    training, held_out = split_groups(examples, settings.hold_out, settings.seed)
    queries: list[str] = []
    asked = []
    for group in training.groups:
        seed = f"variants {settings.seed} {group.query}"
        wordings = [
            group.query,
            *variants(group.query, settings.variants, settings.augmentation, seed),
        ]
        asked.append(tuple(range(len(queries), len(queries) + len(wordings))))
        queries += wordings
    sampler = Sampler(
        training.groups,
        len(examples.passages),
        settings.group,
        settings.batch,
        settings.seed,
        min(settings.strangers, settings.group - 1),
        settings.caps,
    )
    judging = held_out.groups
    if len(judging) > settings.hold_out_most:
        chance = random.Random(f"judging {settings.seed}")
        judging = chance.sample(judging, settings.hold_out_most)
    judged = []
    for group in judging:
        judged.append(_judged(group, len(queries), len(examples.passages), settings))
        queries.append(group.query)
    texts = Texts(queries, examples.passages)
    return Plan(texts, sampler, asked, judged, settings.seed)


def digest(examples: Examples) -> str:
    """Return a hexadecimal SHA-256 of all passages and groups, in order."""
    found = hashlib.sha256()
    for passage in examples.passages:
        found.update(hashlib.sha256(passage.encode("utf-8", "replace")).digest())
    for group in examples.groups:
        found.update(repr(group).encode("utf-8", "replace"))
    return found.hexdigest()


def _judged(group: Group, query: int, passages: int, settings: Settings) -> Judged:
    chance = random.Random(f"judged {settings.seed} {group.query}")
    positives = group.positives[: settings.candidates - 1]
    room = settings.candidates - len(positives)
    # A collection can be smaller than the candidates that are wanted.
    room = min(room, passages - len(group.positives))
    negatives = fill(group, group.negatives[:room], room, passages, chance)
    pairs = tuple(QueryBatch(query, passage) for passage in (*positives, *negatives))
    return Judged(pairs, len(positives), group.source)
