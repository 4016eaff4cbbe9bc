"""Fusions that know the query beside one sum, with each group of sources left out in turn.

    python benchmarks/source_lists.py
    SECONDPASS_DATA=.cache/sources python benchmarks/query_fusion.py

Every combiner is fitted by listwise softmax on the first 100 of BM25 and of hybrid search of
all groups but one, and ranks that one: nDCG@10, the mean of the groups. "predicted weights" are
the three weights of the sum as exponentials of a linear function of the query and of its lists;
"linear" and "network" score each candidate by its features. Candidates and scores are those of
benchmarks/quality.py, and cached with them.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from beir import Collection, load, missing
from harness.embedder_key import embedder_key
from harness.pair_scores import PairScoreCache, PairScorer
from harness.progress import console
from harness.scored_collection import score_collection
from harness.suite import SETTINGS, collection_settings
from quality import CACHE, load_candidates
from source_lists import GROUPS
from torch.nn import functional

from secondpass import Embedder
from secondpass.evaluate.blend_weights import standardize_columns
from secondpass.evaluate.score_matrix import COLUMNS, ScoreMatrix, ndcg
from secondpass.models import bundled_path
from secondpass.rerank.policies.blend import DEFAULT_WEIGHTS

WORDS = re.compile(r"\w+")
QUESTION_WORDS = frozenset(
    WORDS.findall(
        "what who when where why how which whose whom is are was were do does did can could"
        " should would will has have had in"
    )
)
STOP_WORDS = QUESTION_WORDS | frozenset(
    WORDS.findall(
        "a an the of on at to for by with from and or be been it its this that these those as"
        " not no i you we they he she my your our their if then than so but about into over"
        " under"
    )
)
SHIPPED = tuple(DEFAULT_WEIGHTS[name] for name in COLUMNS)
WITHOUT_RERANKER = (0.0, 1.0, 0.29)
"""Fitted on all groups by benchmarks/quality.py."""
STEPS, RATE = 100, 0.08
WINDOW = 20
"""Words of the window in which the query's words are counted together."""


@dataclass(frozen=True)
class Lists:
    """The candidates of a group's queries in one setting.

    - `scores`: [queries, candidates, 3], standardized; `features`: [queries, candidates, n].
    - `query_features`: [queries, m]; `relevant`, `mask`: [queries, candidates].
    """

    matrix: ScoreMatrix
    scores: torch.Tensor
    features: torch.Tensor
    query_features: torch.Tensor
    relevant: torch.Tensor
    mask: torch.Tensor

    def values(self, scores: torch.Tensor) -> np.ndarray:
        """Return nDCG@10 of each query."""
        return ndcg(self.matrix, scores.double().numpy())


Groups = Mapping[str, Mapping[str, Lists]]
"""By group, then by setting."""
Values = Callable[[str, Lists], np.ndarray]


class Terms:
    """Words of a collection's documents and their idf."""

    def __init__(self, collection: Collection) -> None:
        self.titles = {d.id: set(_words(d.title or "")) for d in collection.documents}
        self.texts = {d.id: _words(f"{d.title or ''} {d.text}") for d in collection.documents}
        self._count = Counter(w for words in self.texts.values() for w in set(words))

    def idf(self, word: str) -> float:
        """Return the idf of BM25."""
        n = self._count[word]
        return math.log(1 + (len(self.texts) - n + 0.5) / (n + 0.5))

    def candidate(self, query: list[str], document: str) -> list[float]:
        """Return the lexical features of a candidate, 9 numbers."""
        content = {w for w in query if w not in STOP_WORDS}
        weight = {w: self.idf(w) for w in content}
        total = sum(weight.values()) or 1.0
        text = self.texts[document]
        words, bigrams = set(text), set(pairwise(text))
        found = content & words
        pairs = set(pairwise(query))
        numbers = {w for w in content if w.isdigit()}

        def share(some: set[str]) -> float:
            return sum(weight[w] for w in content & some) / total

        places = [i for i, word in enumerate(text) if word in found]
        best, start = 0.0, 0
        for end, place in enumerate(places):
            while place - places[start] > WINDOW:
                start += 1
            near = {text[i] for i in places[start : end + 1]}
            best = max(best, sum(weight[w] for w in near) / total)
        return [
            share(words),
            len(found) / max(1, len(content)),
            float(len(found) == len(content)),
            len(pairs & bigrams) / max(1, len(pairs)),
            share(self.titles[document]),
            math.log1p(len(text)) / 5,
            len(numbers & words) / len(numbers) if numbers else 1.0,
            share(set(text[:60])),
            best,
        ]

    def query(self, text: str) -> list[float]:
        """Return the features of a query by its words alone, 8 numbers."""
        words = _words(text)
        content = [w for w in words if w not in STOP_WORDS]
        idfs = [self.idf(w) for w in content] or [0.0]
        return [
            math.log1p(len(words)),
            math.log1p(len(content)),
            float(words[:1] != [] and words[0] in QUESTION_WORDS),
            float(text.strip().endswith("?")),
            1 - len(content) / max(1, len(words)),
            float(np.mean(idfs)) / 8,
            max(idfs) / 8,
            min(idfs) / 8,
        ]


def _words(text: str) -> list[str]:
    return WORDS.findall(text.lower())


def read_lists(
    collection: Collection, matrix: ScoreMatrix, ids: Mapping[str, Sequence[str]], terms: Terms
) -> Lists:
    """Compute the features of all candidates of one setting."""
    standard = standardize_columns(matrix)
    scores = np.stack([standard[name] for name in COLUMNS], axis=-1)
    raw = np.stack([matrix.columns[name] for name in COLUMNS], axis=-1)
    ranks = np.full(raw.shape, 99.0)
    lexical = np.zeros((*matrix.mask.shape, 9))
    query_features = []
    for row, query in enumerate(matrix.queries):
        n = int(matrix.mask[row].sum())
        words = _words(collection.queries[query])
        for column in range(3):
            ranks[row, np.argsort(-raw[row, :n, column], kind="stable"), column] = np.arange(n)
        lexical[row, :n] = [terms.candidate(words, document) for document in ids[query]]
        query_features.append(
            terms.query(collection.queries[query])
            + list_features(scores[row, :n], raw[row, :n], ranks[row, :n])
        )
    features = np.concatenate([scores, raw * [1 / 4, 4, 1 / 10], 1 / (1 + ranks), lexical], -1)

    def tensor(values: object) -> torch.Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float32)

    return Lists(
        matrix,
        tensor(scores),
        tensor(features),
        tensor(query_features),
        tensor(np.minimum(matrix.grades, 1)),
        tensor(matrix.mask),
    )


def list_features(scores: np.ndarray, raw: np.ndarray, ranks: np.ndarray) -> list[float]:
    """Return the agreement and the shape of a query's three lists, 17 numbers."""
    pairs = ((0, 1), (0, 2), (1, 2))
    tops = [set(np.flatnonzero(ranks[:, column] < 10).tolist()) for column in range(3)]
    ordered = np.sort(scores, axis=0)[::-1]
    second = min(1, len(ordered) - 1)
    return [
        *(
            float(np.corrcoef(ranks[:, a], ranks[:, b])[0, 1]) if len(ranks) > 2 else 0.0
            for a, b in pairs
        ),
        *(len(tops[a] & tops[b]) / 10 for a, b in pairs),
        *(ordered[0] / 4).tolist(),
        *(ordered[0] - ordered[second]).tolist(),
        raw[:, 0].max() / 8,
        raw[:, 1].max(),
        raw[:, 1].mean(),
        raw[:, 0].std() / 4,
        raw[:, 1].std() * 10,
    ]


class PredictedWeights(torch.nn.Module):
    """Weights of the three scores from the features of the query; fixed without any."""

    def __init__(self, lists: Sequence[Lists], features: Sequence[int]) -> None:
        super().__init__()
        self.features = list(features)
        seen = torch.cat([x.query_features for x in lists])[:, self.features]
        self.mean, self.deviation = seen.mean(0), seen.std(0, correction=0) + 1e-6
        self.intercept = torch.nn.Parameter(torch.zeros(3))
        self.slope = torch.nn.Parameter(torch.zeros(len(self.features), 3))

    def forward(self, lists: Lists) -> torch.Tensor:
        """Return the scores of all candidates, [queries, candidates]."""
        x = (lists.query_features[:, self.features] - self.mean) / self.deviation
        weights = torch.exp(self.intercept + x.clamp(-3, 3) @ self.slope)
        return (lists.scores * weights[:, None, :]).sum(-1)


class CandidateScorer(torch.nn.Module):
    """A linear function of a candidate's features, with a small network added or not."""

    def __init__(
        self, lists: Sequence[Lists], features: Sequence[int], hidden: int = 0
    ) -> None:
        super().__init__()
        self.features = list(features)
        seen = torch.cat([x.features[x.mask > 0] for x in lists])[:, self.features]
        self.mean, self.deviation = seen.mean(0), seen.std(0, correction=0) + 1e-6
        self.linear = torch.nn.Parameter(torch.zeros(len(self.features)))
        self.network: torch.nn.Module | None = None
        if hidden:
            last = torch.nn.Linear(hidden, 1)
            torch.nn.init.zeros_(last.weight)
            first = torch.nn.Linear(len(self.features), hidden)
            self.network = torch.nn.Sequential(first, torch.nn.GELU(), last)

    def forward(self, lists: Lists) -> torch.Tensor:
        """Return the scores of all candidates, [queries, candidates]."""
        x = ((lists.features[..., self.features] - self.mean) / self.deviation).clamp(-4, 4)
        total = (x * self.linear).sum(-1)
        return total if self.network is None else total + self.network(x)[..., 0]


def fit(model: torch.nn.Module, lists: Sequence[Lists], penalty: float) -> torch.nn.Module:
    """Fit a combiner by listwise softmax; every group and setting counts alike."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(STEPS):
        losses = []
        for part in lists:
            relevant = part.relevant * part.mask
            judged = relevant.sum(1) > 0
            scores = model(part).masked_fill(part.mask == 0, -1e4)
            target = relevant / relevant.sum(1, keepdim=True).clamp(min=1)
            loss = -(functional.log_softmax(scores, 1) * target).sum(1)
            losses.append(loss[judged].mean())
        shrink = sum(
            (p**2).sum() for name, p in model.named_parameters() if name != "intercept"
        )
        optimizer.zero_grad()
        (torch.stack(losses).mean() + penalty * shrink).backward()
        optimizer.step()
    return model


Build = Callable[[Sequence[Lists]], torch.nn.Module]

QUERY_SETS: Mapping[str, Sequence[int]] = {
    "none: fixed": (),
    "words of the query": range(8),
    "agreement of the lists": range(8, 14),
    "shape of the lists": range(14, 20),
    "all": range(25),
}
COMBINERS: Mapping[str, tuple[Build, float]] = {
    **{
        f"predicted weights, {name}": (lambda x, f=f: PredictedWeights(x, f), 0.03)
        for name, f in QUERY_SETS.items()
    },
    "linear: standardized scores and ranks": (
        lambda x: CandidateScorer(x, [0, 1, 2, 6, 7, 8]),
        0.001,
    ),
    "linear: and words found, proximity, title, length": (
        lambda x: CandidateScorer(x, range(18)),
        0.001,
    ),
    "network of 8 on the same": (lambda x: CandidateScorer(x, range(18), 8), 0.001),
}


def read_groups(names: Sequence[str], model: str, threads: int | None) -> Groups:
    """Return the lists of every group, searched and scored as far as the cache has not."""
    embedder = Embedder(threads=threads)
    tokenizer = bundled_path("bundled-embedder") / "tokenizer.json"
    key = embedder_key(embedder, tokenizer, CACHE / "embedders.json")
    scorer = PairScorer(model, PairScoreCache(CACHE / "scores.sqlite"), states=CACHE)
    groups: dict[str, dict[str, Lists]] = {}
    for name in names:
        collection = load(name)
        settings = collection_settings(name)
        candidates = load_candidates(collection, settings, embedder, key, depth=100)
        pools = score_collection(collection, settings, candidates, scorer).pools
        terms = Terms(collection)
        groups[name] = {}
        for setting in SETTINGS:
            ids = {q: [c.id for c in stages[setting]] for q, stages in candidates.items()}
            groups[name][setting] = read_lists(collection, pools[setting], ids, terms)
    return groups


def compare(groups: Groups) -> None:
    """Print the mean nDCG@10 of every combiner, fitted on the other groups each time."""

    def show(name: str, values: Values) -> None:
        means = [
            float(np.mean([values(group, parts[s]).mean() for group, parts in groups.items()]))
            for s in SETTINGS
        ]
        print(f"| {name} | {means[0]:.4f} | {means[1]:.4f} |", flush=True)

    def fixed(weights: Sequence[float]) -> Values:
        return lambda _, part: part.values(part.scores @ torch.tensor(weights))

    alone, free = fixed((1.0, 0.0, 0.0)), fixed(WITHOUT_RERANKER)
    print("| combiner | BM25 | hybrid (RRF) |\n| --- | --- | --- |")
    show("reranker alone", alone)
    show("cosine and BM25", free)
    show(
        "the better of these two, by an oracle",
        lambda group, part: np.maximum(alone(group, part), free(group, part)),
    )
    show("weights as shipped", fixed(SHIPPED))
    for name, (build, penalty) in COMBINERS.items():
        fitted = {}
        for held_out in groups:
            rest = [x for n, parts in groups.items() if n != held_out for x in parts.values()]
            fitted[held_out] = fit(build(rest), rest, penalty).requires_grad_(False)
        show(name, lambda group, part, fitted=fitted: part.values(fitted[group](part)))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collections", nargs="+", default=list(GROUPS), metavar="NAME")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if absent := missing(arguments.collections):
        console.print(f"Not found: {', '.join(absent)}. Run benchmarks/source_lists.py first.")
        return 2
    torch.manual_seed(7)
    compare(read_groups(arguments.collections, arguments.model, arguments.threads))
    return 0


if __name__ == "__main__":
    sys.exit(main())
