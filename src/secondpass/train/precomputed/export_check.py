"""Real queries and passages as a reader's graph takes them, and two graphs compared on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.inference.token_encoder import TokenEncoder
from secondpass.train.export import calibrate, verify

Compress = Callable[[Mapping[str, NDArray[Any]]], Sequence[NDArray[Any]]]
Float64 = NDArray[np.float64]
QUERY_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Text:
    """One text's embedding [dimension], states [tokens, width], codes and scales."""

    embedding: NDArray[np.float32]
    states: NDArray[np.float32]
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Queries and passages by what they say."""

    queries: Mapping[str, Text]
    passages: Mapping[str, Text]


def prepare(
    encoder: TokenEncoder, compress: Compress, pairs: Sequence[calibrate.Pair], length: int
) -> Prepared:
    """Encode and compress each query and each passage of the pairs once."""
    return Prepared(
        _texts(encoder, compress, [pair.query for pair in pairs], QUERY_TOKENS),
        _texts(encoder, compress, [pair.text for pair in pairs], length),
    )


def _texts(
    encoder: TokenEncoder, compress: Compress, texts: Sequence[str], length: int
) -> dict[str, Text]:
    once = list(dict.fromkeys(texts))
    sequences = calibrate.text_sequences(encoder.tokenizer, once, min(length, encoder.longest))
    found = {}
    for batch in encoder.encode(sequences):
        codes, scales = compress({"states": batch.states})
        for row, (place, tokens) in enumerate(zip(batch.rows, batch.lengths, strict=True)):
            found[once[place]] = Text(
                batch.embeddings[row],
                batch.states[row, :tokens].copy(),
                codes[row, :tokens].copy(),
                scales[row, :tokens].copy(),
            )
    return found


def feeds_of(texts: Prepared, query: str, passages: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the graph's inputs for one query and its passages, padded to the longest."""
    asked = texts.queries[query]
    found = [texts.passages[passage] for passage in passages]
    shape = (len(found), max(len(one.scales) for one in found))
    codes = np.zeros((*shape, asked.codes.shape[1]), dtype=np.int8)
    scales = np.zeros(shape, dtype=np.float32)
    mask = np.zeros(shape, dtype=np.int64)
    for row, one in enumerate(found):
        codes[row, : len(one.scales)] = one.codes
        scales[row, : len(one.scales)] = one.scales
        mask[row, : len(one.scales)] = 1
    return {
        "query_states": asked.states[None],
        "query_embedding": asked.embedding[None],
        "document_codes": codes,
        "document_scales": scales,
        "document_mask": mask,
        "document_embeddings": np.stack([one.embedding for one in found]),
    }


def report(
    before: verify.Scorer,
    after: verify.Scorer,
    texts: Prepared,
    pairs: Sequence[calibrate.Pair],
    min_overlap: float,
    progress: calibrate.Progress | None = None,
) -> dict[str, Any]:
    """Return the differences between two graphs on pairs; keys say what is measured.

    Raises `ModelError` as `verify.compare` does.
    """
    questions = list(dict.fromkeys(pair.query for pair in pairs))
    passages = list(dict.fromkeys(pair.text for pair in pairs))
    verify.check_enough(questions, passages)
    lists = verify.candidates(pairs, questions[: verify.QUESTIONS], passages)
    one = _scores(before, texts, lists, progress)
    other = _scores(after, texts, lists, progress)
    found = verify.errors("logit", one, other)
    found |= verify.errors("probability", verify.probability(one), verify.probability(other))
    found |= _batch_effects(after, texts, lists)
    found |= verify.rankings(one, other)
    if found["top_10_overlap"] < min_overlap:
        raise verify.too_different(found["top_10_overlap"], min_overlap)
    return found


def _scores(
    model: verify.Scorer,
    texts: Prepared,
    lists: Mapping[str, Sequence[str]],
    progress: calibrate.Progress | None,
) -> Float64:
    rows = []
    for done, (query, passages) in enumerate(lists.items(), start=1):
        # One by one, as a passage is scored in use whatever stands beside it.
        rows.append([float(model.run(feeds_of(texts, query, [one]))[0]) for one in passages])
        if progress is not None:
            progress("verify", done, len(lists))
    return np.array(rows, dtype=np.float64)


def _batch_effects(
    model: verify.Scorer, texts: Prepared, lists: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """How much a probability changes with the rows beside it, and with padding."""
    query, passages = next(iter(lists.items()))
    feeds = feeds_of(texts, query, passages)
    alone = _scores(model, texts, {query: passages}, None)[0]
    shortest = min(len(texts.passages[one].scales) for one in passages)
    cut = {n: a[:, :shortest] if n in _BY_TOKEN else a for n, a in feeds.items()}
    one_by_one = [
        float(model.run({n: a[i : i + 1] if n in _BY_ROW else a for n, a in cut.items()})[0])
        for i in range(len(passages))
    ]
    pairs = {
        "batch": (np.array(one_by_one), model.run(cut)),
        "padding": (alone, model.run(feeds)),
    }
    effects = {}
    for name, (first, second) in pairs.items():
        change = np.abs(
            verify.probability(first) - verify.probability(second.astype(np.float64))
        )
        effects[f"{name}_effect"] = float(f"{float(change.max()):.2g}")
    return effects


_BY_TOKEN = frozenset({"document_codes", "document_scales", "document_mask"})
_BY_ROW = _BY_TOKEN | {"document_embeddings"}
