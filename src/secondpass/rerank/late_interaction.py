"""Late interaction (ColBERT): MaxSim over token vectors, computed now or precomputed."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from secondpass.errors import InputError, ModelDamagedError
from secondpass.inference.batches import iter_batches
from secondpass.inference.model_folder import ModelFolder, longest_input
from secondpass.inference.query_cut import QueryCut, cut_model_query
from secondpass.inference.runtimes import load_runtime
from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.inference.types import Float32
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.types import Record
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.windowing import (
    MIN_DOCUMENT_TOKENS,
    lead_text,
    split_documents,
    window_length,
)
from secondpass.types import Candidate, ScoreKind


def normalize_rows(vectors: Float32) -> Float32:
    """Return the rows with length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)


def maxsim(query: Float32, document: Float32) -> float:
    """Return the mean over the query's tokens of the highest cosine in the document.

    Both are [tokens, dimension] with rows of unit length. A document or a query without tokens
    gives -1. ColBERT sums where this takes the mean, which gives the same order and does not
    grow with the query. Source: Khattab and Zaharia, SIGIR 2020.
    """
    if not len(query) or not len(document):
        return -1.0
    return float((query @ document.T).max(axis=1).astype(np.float64).mean())


# How many windows' vectors are in memory at once, whatever the number of candidates.
_RECORDS_AT_ONCE = 256
_WINDOWS_AT_ONCE = 128


class PrecomputedMaxSim(BaseReranker):
    """Scores a document by `maxsim` over precomputed token states; only the query is encoded.

    - `reranker`: a `PrecomputedReranker` or a wrapper of one, such as `Reranker()`; an index
      provides the records of its documents.

    Scores are similarities from -1 to 1. How good it is: docs/explanation/late-interaction.md.
    Raises `InputError` for a reranker without precomputed states.
    """

    def __init__(self, reranker: BaseReranker) -> None:
        if not isinstance(reranker.base, PrecomputedReranker):
            raise InputError(
                f"{reranker.model!r} has no precomputed token states",
                fix="Use a precomputed reranker, such as Reranker('bundled').",
            )
        self.reranker = reranker.base

    @property
    def model(self) -> str:
        """The name of the reranker, and that only its states are used."""
        return f"{self.reranker.model} (MaxSim)"

    @property
    def base(self) -> BaseReranker:
        """The precomputed reranker, whose records an index stores."""
        return self.reranker

    def map_base(self, function: Callable[[BaseReranker], BaseReranker]) -> PrecomputedMaxSim:
        """Return a copy over another precomputed reranker; raises `InputError` for others."""
        return PrecomputedMaxSim(function(self.reranker))

    @property
    def span_reranker(self) -> BaseReranker:
        """The precomputed reranker."""
        return self.reranker

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score each candidate by its best windows."""
        texts = options.texts(candidates)
        scorer = self.reranker.window_scorer(query, list(dict.fromkeys(texts)), options)
        query_vectors = _token_vectors(self.reranker.compress_query(scorer.query))
        keys = list(dict.fromkeys(key for s in scorer.segments.values() for key in s.keys))
        similarities: dict[bytes, float] = {}
        for start in range(0, len(keys), _RECORDS_AT_ONCE):
            records = scorer.records.get(keys[start : start + _RECORDS_AT_ONCE])
            similarities |= {
                key: maxsim(query_vectors, _token_vectors(record))
                for key, record in records.items()
            }
        scores = {}
        for text, segments in scorer.segments.items():
            value = options.passages.combine([similarities[key] for key in segments.keys])
            scores[text] = Score(value, None, len(segments.keys), segments.unread)
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.SIMILARITY,
            pairs=sum(len(s.keys) for s in scorer.segments.values()),
            tokens=scorer.query.tokens + scorer.records.tokens,
            query_tokens=scorer.query.tokens,
            reason=scorer.records.reason,
        )


def _token_vectors(record: Record) -> Float32:
    """Return the unit vectors of a record's tokens, without the special ones at its ends."""
    codes = record.codes[1:-1].astype(np.float32)
    return normalize_rows(codes * record.scales[1:-1, None].astype(np.float32))


class LateInteraction(BaseReranker):
    """A late-interaction model: scores a document by `maxsim` of its tokens and the query's.

    The graph's first output is [batch, tokens, dimension]. The manifest has `"architecture":
    "late-interaction"`, `max_length`, and, where the model was trained so: `query_marker` and
    `document_marker`, texts of one token each that follow the first special token;
    `query_length`, to which a query is padded with `[MASK]` tokens (ColBERT's query
    augmentation); `skip_punctuation`, true where the punctuation of documents is ignored.
    Scores are similarities from -1 to 1. Raises `ModelDamagedError` for a manifest that does
    not match the graph or the tokenizer, `InputError` for a `label`: there is one output only.
    """

    max_length: int

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
    ) -> None:
        self._name = name if name is not None else str(folder.manifest.get("name", folder.path))
        if label is not None:
            raise InputError(f"A late-interaction model has no label {label!r}")
        self.folder = folder
        self._tokenizer = Tokenizer(folder.path / "tokenizer.json")
        self._runtime = load_runtime(folder, threads=threads)
        manifest = folder.manifest
        try:
            self.longest = (
                longest_input(folder.config) if folder.config else int(manifest["max_length"])
            )
            self.max_length = min(int(manifest["max_length"]), self.longest)
            self._query_length = int(manifest.get("query_length", 0))
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(
                f"secondpass.json is incomplete or not valid: {error}"
            ) from error
        self._query_marker = self._token_id(manifest.get("query_marker"))
        self._document_marker = self._token_id(manifest.get("document_marker"))
        self._mask = self._token_id("[MASK]") if self._query_length else []
        ignored = string.punctuation if manifest.get("skip_punctuation", False) else ""
        self._ignored_ids = {i for c in ignored for i in self._tokenizer.encode([c], 2)[0].ids}

    @property
    def model(self) -> str:
        """The name the model was loaded by."""
        return self._name

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score each candidate by its best windows."""
        query_tokens = self._query_tokens(query, options.max_query_tokens)
        ((_, query_vectors),) = self._vectors([query_tokens], keep_all=True)
        texts = options.texts(candidates)
        distinct = list(dict.fromkeys(texts))
        reserved = self._tokenizer.special + len(self._document_marker)
        length = window_length(
            options.max_length,
            default=self.max_length,
            longest=self.longest,
            shortest=MIN_DOCUMENT_TOKENS + reserved,
            model=self._name,
        )
        led = [lead_text(text, separator=options.separator) for text in distinct]
        whole = [
            *split_documents(
                self._tokenizer,
                led,
                max_tokens=length - reserved,
                passages=options.passages,
                reach=options.tokens_in_reach,
            )
        ]
        documents = [
            d.choose(query, body, passages=options.passages, tokens=options.token_share)
            for d, (_, body) in zip(whole, led, strict=True)
        ]
        windows = [
            self._sequence(self._document_marker, ids) for d in documents for ids in d.ids
        ]
        similarities: dict[int, float] = {}
        for start in range(0, len(windows), _WINDOWS_AT_ONCE):
            for i, vectors in self._vectors(windows[start : start + _WINDOWS_AT_ONCE]):
                similarities[start + i] = maxsim(query_vectors, vectors)
        scores, position = {}, 0
        for text, document in zip(distinct, documents, strict=True):
            count = len(document.ids)
            values = [similarities[position + i] for i in range(count)]
            value = options.passages.combine(values)
            scores[text] = Score(value, None, count, document.unread)
            position += count
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.SIMILARITY,
            pairs=len(windows),
            tokens=len(query_tokens[0]) + sum(len(ids) for ids, _ in windows),
        )

    def cut_query(self, query: str, max_tokens: int | None) -> QueryCut:
        """Return what is read of a query."""
        limit = self.longest - self._tokenizer.special - len(self._query_marker)
        return cut_model_query(self._tokenizer, query, max_tokens, limit)

    def _query_tokens(self, query: str, max_tokens: int | None) -> TokenSequence:
        text = self.cut_query(query, max_tokens).text
        (tokens,) = self._tokenizer.encode([text], limit=self.longest)
        ids, segments = self._sequence(self._query_marker, tokens.ids)
        missing = max(0, min(self._query_length, self.longest) - len(ids))
        padded = np.array([*ids, *(self._mask * missing)], dtype=np.int64)
        return padded, np.zeros_like(padded) if missing else segments

    def _sequence(self, marker: Sequence[int], ids: Sequence[int]) -> TokenSequence:
        return self._tokenizer.single([*marker, *ids])

    def _vectors(
        self, sequences: Sequence[TokenSequence], *, keep_all: bool = False
    ) -> Iterator[tuple[int, Float32]]:
        """Yield each sequence's position and the vectors of the tokens that are not ignored."""
        output = self._runtime.outputs[0]
        for batch, outputs in iter_batches(
            self._runtime,
            sequences,
            pad_id=self._tokenizer.pad_id,
            longest=self.longest,
            names=[output],
        ):
            vectors = outputs[output]
            if vectors.ndim != 3 or vectors.shape[0] != len(batch.rows):
                raise self._damaged(
                    f"the output of the graph is {vectors.shape}, not a vector a token"
                )
            for row, position in enumerate(batch.rows):
                ids = sequences[position][0]
                used = [keep_all or i not in self._ignored_ids for i in ids.tolist()]
                yield position, normalize_rows(vectors[row, : len(ids)][used])

    def _token_id(self, text: object) -> list[int]:
        """Return the id of a text of one token, in a list; an empty list for None."""
        if text is None:
            return []
        ids = list(self._tokenizer.encode([str(text)], 4)[0].ids)
        if len(ids) != 1:
            raise self._damaged(f"{text!r} must be one token, and is {len(ids)}")
        return ids

    def _damaged(self, why: str) -> ModelDamagedError:
        return ModelDamagedError(
            "The late-interaction model cannot be used", where=str(self.folder.path), why=why
        )
