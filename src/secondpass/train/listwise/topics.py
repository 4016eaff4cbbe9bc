"""Topical queries, which many passages are about, and how a model ranks these."""

from __future__ import annotations

import math
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from secondpass import Candidate, Document, Reranker
from secondpass.composition import Composer
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.precomputed.model import PrecomputedReranker, use_store
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.train.data.augment import STOP_WORDS
from secondpass.train.listwise.lists import Passages, Progress, TrainingList

_WORD = re.compile(r"[a-z][a-z-]{3,}")
_SENTENCE = re.compile(r"[.!?] +(?=[A-Z])")
KEYWORDS = 2, 5
# Letters. A longer sentence is not what anyone would type.
LONGEST_TOPIC = 240
# Candidates whose scores are computed; steps draw from these.
SCORED = 30


def count_texts(texts: Iterable[str]) -> Counter[str]:
    """Return by word the number of texts that have it."""
    return Counter(word for text in texts for word in set(_WORD.findall(text.lower())))


def make_topic(
    title: str, text: str, frequencies: Mapping[str, int], rng: random.Random
) -> str:
    """Return a topic that a text is about.

    It is one of: the title, its longer part before or after a colon, keywords (words that the
    text has often and others have rarely), the first sentence. Where one is empty or too
    long, it is the title.

    - `frequencies`: of `count_texts`, over the texts of one source.
    """
    kind, topic = rng.random(), title
    if 0.4 <= kind < 0.6:
        topic = max(title.split(": "), key=len).strip().lower()
    elif 0.6 <= kind < 0.85:
        found = Counter(w for w in _WORD.findall(text.lower()) if w not in STOP_WORDS)
        weights = {w: n / math.sqrt(1 + frequencies.get(w, 0)) for w, n in found.items()}
        best = sorted(weights, key=lambda w: -weights[w])[: rng.randint(*KEYWORDS)]
        topic = " ".join(w for w in found if w in best)
    elif kind >= 0.85:
        topic = _SENTENCE.split(text, maxsplit=1)[0]
    return topic if 0 < len(topic.strip()) <= LONGEST_TOPIC else title


def add_targets(
    lists: Sequence[TrainingList], passages: Passages, model: str, progress: Progress
) -> None:
    """Set the targets of lists: what a model and the cosine give to their first candidates.

    The scores are those of a blend, in standard deviations of the list. What is found beyond
    the first 30 candidates is dropped.
    """
    texts = passages.searchable()
    with tempfile.TemporaryDirectory(prefix="secondpass-") as folder:
        reranker = _with_states(Reranker(model), Path(folder, "states.sqlite"))
        blend = Composer().compose(reranker, {"blend": {"rerank": 1.0, "vector": 0.2}})
        for done, one in enumerate(lists):
            progress("score topics", done, len(lists))
            del one.found[SCORED:]
            numbers = [one.right, *one.given, *one.found]
            del one.cosines[len(numbers) :]
            candidates = [
                Candidate(Document(texts[number]), vector=cosine)
                for number, cosine in zip(numbers, one.cosines, strict=True)
            ]
            scored = blend.score(one.query, candidates, ScoringOptions())
            one.targets = [round(score.value, 3) for score in scored.scores]
    progress("score topics", len(lists), len(lists))


def _with_states(reranker: Reranker, file: Path) -> BaseReranker:
    """Return the reranker, which keeps the states of passages in a file if it computes any."""
    base = reranker.base
    if not isinstance(base, PrecomputedReranker):
        return reranker
    store = StateStore(
        file, digest=base.states_digest, codes=base.codes, dimension=base.encoder.dimension
    )
    return use_store(reranker, store)
