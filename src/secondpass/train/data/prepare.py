"""Training data of a run: texts, sampling, and the held-out validation groups."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.train.data.augment import query_variants
from secondpass.train.data.examples import Examples, Group
from secondpass.train.data.files import split_groups
from secondpass.train.data.sampling import Sample, Sampler, fill_with_random
from secondpass.train.trainer.interface import PairIndices, Texts
from secondpass.train.trainer.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class ValidationGroup:
    """A held-out group: its candidates, the first `positives` of them relevant."""

    pairs: tuple[PairIndices, ...]
    positives: int
    source: str


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data of one run.

    `variants[i]` are the indices in `texts.queries` of the query of group i and of its
    augmented forms; `validation` are the held-out groups.
    """

    texts: Texts
    sampler: Sampler
    variants: Sequence[tuple[int, ...]]
    validation: Sequence[ValidationGroup]
    seed: int

    @property
    def groups(self) -> Sequence[Group]:
        """The groups that are trained on."""
        return self.sampler.groups

    def variant(self, group: int, epoch: int) -> int:
        """Return the index of the form of a group's query that an epoch uses."""
        rng = random.Random(f"wording {self.seed} {epoch} {group}")
        return rng.choice(self.variants[group])

    def pairs(self, sample: Sample, epoch: int) -> list[PairIndices]:
        """Return the pairs of a sample, that of the positive first."""
        query = self.variant(sample.group, epoch)
        return [PairIndices(query, passage) for passage in sample.passages]


def prepare_data(examples: Examples, settings: TrainSettings) -> TrainingData:
    """Hold out validation groups, augment the other queries, and prepare sampling.

    Raises InputError as `Sampler` does.
    """
    training, held_out = split_groups(examples, settings.hold_out, settings.seed)
    queries: list[str] = []
    variants = []
    for group in training.groups:
        seed = f"variants {settings.seed} {group.query}"
        forms = [
            group.query,
            *query_variants(group.query, settings.variants, settings.augmentation, seed),
        ]
        variants.append(tuple(range(len(queries), len(queries) + len(forms))))
        queries += forms
    sampler = Sampler(
        training.groups,
        len(examples.passages),
        settings.group,
        settings.batch,
        settings.seed,
        min(settings.strangers, settings.group - 1),
        settings.caps,
    )
    validation_groups = held_out.groups
    if len(validation_groups) > settings.hold_out_most:
        rng = random.Random(f"judging {settings.seed}")
        validation_groups = rng.sample(validation_groups, settings.hold_out_most)
    validation = []
    for group in validation_groups:
        validation.append(
            _validation_group(group, len(queries), len(examples.passages), settings)
        )
        queries.append(group.query)
    texts = Texts(queries, examples.passages)
    return TrainingData(texts, sampler, variants, validation, settings.seed)


def examples_digest(examples: Examples) -> str:
    """Return a hexadecimal SHA-256 of all passages and groups, in order."""
    digest = hashlib.sha256()
    for passage in examples.passages:
        digest.update(hashlib.sha256(passage.encode("utf-8", "replace")).digest())
    for group in examples.groups:
        digest.update(repr(group).encode("utf-8", "replace"))
    return digest.hexdigest()


def _validation_group(
    group: Group, query: int, passages: int, settings: TrainSettings
) -> ValidationGroup:
    rng = random.Random(f"judged {settings.seed} {group.query}")
    positives = group.positives[: settings.candidates - 1]
    missing = settings.candidates - len(positives)
    # A collection can be smaller than the number of candidates.
    missing = min(missing, passages - len(group.positives))
    negatives = fill_with_random(group, group.negatives[:missing], missing, passages, rng)
    pairs = tuple(PairIndices(query, passage) for passage in (*positives, *negatives))
    return ValidationGroup(pairs, len(positives), group.source)
