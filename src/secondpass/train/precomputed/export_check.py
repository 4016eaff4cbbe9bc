"""Comparison of two scoring graphs of a precomputed reranker on real queries and passages."""

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
class EncodedText:
    """The embedding [dimension], states [tokens, width], codes and scales of one text."""

    embedding: NDArray[np.float32]
    states: NDArray[np.float32]
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Encoded queries and passages by their text."""

    queries: Mapping[str, EncodedText]
    passages: Mapping[str, EncodedText]


def encode_texts(
    encoder: TokenEncoder, compress: Compress, pairs: Sequence[calibrate.Pair], length: int
) -> EncodedTexts:
    """Encode and compress each query and each passage of the pairs once."""
    return EncodedTexts(
        _texts(encoder, compress, [pair.query for pair in pairs], QUERY_TOKENS),
        _texts(encoder, compress, [pair.text for pair in pairs], length),
    )


def _texts(
    encoder: TokenEncoder, compress: Compress, texts: Sequence[str], length: int
) -> dict[str, EncodedText]:
    unique = list(dict.fromkeys(texts))
    sequences = calibrate.text_sequences(
        encoder.tokenizer, unique, min(length, encoder.longest)
    )
    encoded = {}
    for batch in encoder.encode(sequences):
        codes, scales = compress({"states": batch.states})
        for row, (index, tokens) in enumerate(zip(batch.rows, batch.lengths, strict=True)):
            encoded[unique[index]] = EncodedText(
                batch.embeddings[row],
                batch.states[row, :tokens].copy(),
                codes[row, :tokens].copy(),
                scales[row, :tokens].copy(),
            )
    return encoded


def score_feeds(
    texts: EncodedTexts, query: str, passages: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Return the inputs of the scoring graph for one query, passages padded to the longest."""
    encoded_query = texts.queries[query]
    encoded = [texts.passages[passage] for passage in passages]
    shape = (len(encoded), max(len(passage.scales) for passage in encoded))
    codes = np.zeros((*shape, encoded_query.codes.shape[1]), dtype=np.int8)
    scales = np.zeros(shape, dtype=np.float32)
    mask = np.zeros(shape, dtype=np.int64)
    for row, passage in enumerate(encoded):
        tokens = len(passage.scales)
        codes[row, :tokens] = passage.codes
        scales[row, :tokens] = passage.scales
        mask[row, :tokens] = 1
    return {
        "query_states": encoded_query.states[None],
        "query_embedding": encoded_query.embedding[None],
        "document_codes": codes,
        "document_scales": scales,
        "document_mask": mask,
        "document_embeddings": np.stack([passage.embedding for passage in encoded]),
    }


def compare_graphs(
    before: verify.Scorer,
    after: verify.Scorer,
    texts: EncodedTexts,
    pairs: Sequence[calibrate.Pair],
    min_overlap: float,
    progress: calibrate.Progress | None = None,
) -> dict[str, Any]:
    """Return the differences between two graphs on pairs; the keys name what is measured.

    Raises `ModelError` as `verify.compare` does.
    """
    questions = list(dict.fromkeys(pair.query for pair in pairs))
    passages = list(dict.fromkeys(pair.text for pair in pairs))
    verify.check_enough_pairs(questions, passages)
    lists = verify.candidate_lists(pairs, questions[: verify.QUESTIONS], passages)
    original = _scores(before, texts, lists, progress)
    changed = _scores(after, texts, lists, progress)
    report = verify.error_statistics("logit", original, changed)
    report |= verify.error_statistics(
        "probability", verify.probability(original), verify.probability(changed)
    )
    report |= _batch_effects(after, texts, lists)
    report |= verify.ranking_agreement(original, changed)
    if report["top_10_overlap"] < min_overlap:
        raise verify.ranking_error(report["top_10_overlap"], min_overlap)
    return report


def _scores(
    model: verify.Scorer,
    texts: EncodedTexts,
    lists: Mapping[str, Sequence[str]],
    progress: calibrate.Progress | None,
) -> Float64:
    rows = []
    for done, (query, passages) in enumerate(lists.items(), start=1):
        # One by one: in use a passage is scored beside any others.
        rows.append([float(model.run(score_feeds(texts, query, [p]))[0]) for p in passages])
        if progress is not None:
            progress("verify", done, len(lists))
    return np.array(rows, dtype=np.float64)


def _batch_effects(
    model: verify.Scorer, texts: EncodedTexts, lists: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Return how much a probability changes with the rest of a batch, and with padding."""
    query, passages = next(iter(lists.items()))
    feeds = score_feeds(texts, query, passages)
    alone = _scores(model, texts, {query: passages}, None)[0]
    shortest = min(len(texts.passages[passage].scales) for passage in passages)
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
