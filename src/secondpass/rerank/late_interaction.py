"""A late-interaction model over a model folder, shaped like ColBERT.

How well the tokens of a query are met by those of a document.

Late interaction over what a reader keeps of documents: nothing but the query is encoded.
"""

from __future__ import annotations

import copy
import string
from collections.abc import Iterator, Sequence

import numpy as np

from secondpass.errors import InputError, ModelDamagedError
from secondpass.inference.batches import iter_batches
from secondpass.inference.model_folder import ModelFolder, longest_input
from secondpass.inference.runtimes import load_runtime
from secondpass.inference.tokenizer import Tokenizer, TokenSequence
from secondpass.inference.types import Float32
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.precomputed import PrecomputedReranker
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.windowing import LEAST_DOCUMENT, pieces
from secondpass.types import Candidate, ScoreKind


def unit(vectors: Float32) -> Float32:
    """Return the rows with length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)


def maxsim(query: Float32, document: Float32) -> float:
    """Return the mean over the query's tokens of the highest cosine in the document.

    Both are [tokens, dimension] with rows of unit length. A document or a query without
    tokens gives -1. ColBERT sums where this takes the mean, which orders alike and does not
    grow with the query. Source: Khattab and Zaharia, SIGIR 2020.
    """
    if not len(query) or not len(document):
        return -1.0
    return float((query @ document.T).max(axis=1).astype(np.float64).mean())


_KEPT_GROUP = 256


class KeptMaxSim(BaseReranker):
    """Scores a document by `maxsim` over a reader's records; the reading layers do not run.

    `reader` is a `PrecomputedReranker` or what wraps one, such as `Reranker()`; an index gives it the
    records that it keeps. Scores are similarities from -1 to 1. What it is worth is in
    docs/explanation/late-interaction.md. Raises `InputError` for a reranker that keeps none.
    """

    def __init__(self, reader: BaseReranker) -> None:
        if not isinstance(reader.base, PrecomputedReranker):
            raise InputError(
                f"{reader.model!r} keeps no states of tokens",
                fix="Give a reader, such as Reranker('bundled').",
            )
        self.reader = reader.base

    @property
    def model(self) -> str:
        """The name of the reader, and that only its states are used."""
        return f"{self.reader.model} (MaxSim)"

    @property
    def base(self) -> BaseReranker:
        """The reader, whose records an index keeps."""
        return self.reader

    def with_states(self, store: StateStore) -> KeptMaxSim:
        """Return this with a reader that keeps records there."""
        twin = copy.copy(self)
        twin.reader = self.reader.with_states(store)
        return twin

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score each candidate by its best windows."""
        question = self.reader.question(query)
        met = _vectors(self.reader.compressed(question))
        texts = reading.texts(candidates)
        search = self.reader.search(question, list(dict.fromkeys(texts)), reading)
        keys = list(dict.fromkeys(key for cut in search.cuts.values() for key in cut.keys))
        found: dict[bytes, float] = {}
        for start in range(0, len(keys), _KEPT_GROUP):
            records = search.records.get(keys[start : start + _KEPT_GROUP])
            found |= {key: maxsim(met, _vectors(record)) for key, record in records.items()}
        scores = {}
        for text, cut in search.cuts.items():
            value = reading.passages.combine([found[key] for key in cut.keys])
            scores[text] = Score(value, None, len(cut.keys), cut.unread)
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.SIMILARITY,
            pairs=sum(len(cut.keys) for cut in search.cuts.values()),
            tokens=question.tokens + search.records.tokens,
            reason=search.records.reason,
        )


def _vectors(record: Record) -> Float32:
    """Return the unit vectors of a record's tokens, without the special ones at its ends."""
    codes = record.codes[1:-1].astype(np.float32)
    return unit(codes * record.scales[1:-1, None].astype(np.float32))


# So many windows are held at once, whatever the number of candidates.
_GROUP = 128


class LateInteraction(BaseReranker):
    """Scores a document by how well its tokens meet those of the query (`maxsim`).

    The graph's first output is [batch, tokens, dimension]. The manifest says
    `"architecture": "late-interaction"`, `max_length`, and, where the model was trained so:
    `query_marker` and `document_marker`, texts of one token each that stand after the first
    special token; `query_length`, to which a query is filled up with `[MASK]` tokens (from
    ColBERT's query augmentation); `skip_punctuation`, true where punctuation of documents
    does not count. Scores are similarities from -1 to 1. Raises `ModelDamagedError` for a
    manifest that says something else than the graph or the tokenizer, `InputError` for a
    `label`: there is one output only.
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
        self._tokeniser = Tokenizer(folder.path / "tokenizer.json")
        self._runtime = load_runtime(folder, threads=threads)
        said = folder.manifest
        try:
            self.longest = (
                longest_input(folder.config) if folder.config else int(said["max_length"])
            )
            self.max_length = min(int(said["max_length"]), self.longest)
            self._query_length = int(said.get("query_length", 0))
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"secondpass.json lacks or garbles {error}") from error
        self._query_marker = self._one(said.get("query_marker"))
        self._document_marker = self._one(said.get("document_marker"))
        self._mask = self._one("[MASK]") if self._query_length else []
        skipped = string.punctuation if said.get("skip_punctuation", False) else ""
        self._skipped = {i for c in skipped for i in self._tokeniser.encode([c], 2)[0].ids}

    @property
    def model(self) -> str:
        """The name the model was loaded by."""
        return self._name

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score each candidate by its best windows."""
        asked = self._query(query)
        (met,) = [vectors for _, vectors in self._vectors([asked], keep_all=True)]
        texts = reading.texts(candidates)
        distinct = list(dict.fromkeys(texts))
        room = self._window(reading.max_length) - self._tokeniser.special
        room -= len(self._document_marker)
        cut = [*pieces(self._tokeniser, distinct, room=room, passages=reading.passages)]
        windows = [self._marked(self._document_marker, ids) for p in cut for ids in p.ids]
        found: dict[int, float] = {}
        for start in range(0, len(windows), _GROUP):
            for place, vectors in self._vectors(windows[start : start + _GROUP]):
                found[start + place] = maxsim(met, vectors)
        scores, position = {}, 0
        for text, document in zip(distinct, cut, strict=True):
            count = len(document.ids)
            values = [found[position + i] for i in range(count)]
            value = reading.passages.combine(values)
            scores[text] = Score(value, None, count, document.unread)
            position += count
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.SIMILARITY,
            pairs=len(windows),
            tokens=len(asked[0]) + sum(len(ids) for ids, _ in windows),
        )

    def _query(self, query: str) -> TokenSequence:
        room = self.longest - self._tokeniser.special - len(self._query_marker)
        (tokens,) = self._tokeniser.encode([query], limit=room + 1)
        if len(tokens.ids) > room:
            raise InputError(
                "The query is too long for the model",
                why=f"it has {len(tokens.ids)} tokens or more and may have at most {room}",
                fix="Shorten the query, or use a model that reads longer texts.",
            )
        ids, segments = self._marked(self._query_marker, tokens.ids)
        missing = max(0, min(self._query_length, self.longest) - len(ids))
        filled = np.array([*ids, *(self._mask * missing)], dtype=np.int64)
        return filled, np.zeros_like(filled) if missing else segments

    def _marked(self, marker: Sequence[int], ids: Sequence[int]) -> TokenSequence:
        return self._tokeniser.single([*marker, *ids])

    def _vectors(
        self, sequences: Sequence[TokenSequence], *, keep_all: bool = False
    ) -> Iterator[tuple[int, Float32]]:
        """Yield each sequence's position and the vectors of its tokens that count."""
        output = self._runtime.outputs[0]
        for batch, found in iter_batches(
            self._runtime,
            sequences,
            pad_id=self._tokeniser.pad_id,
            longest=self.longest,
            names=[output],
        ):
            vectors = found[output]
            if vectors.ndim != 3 or vectors.shape[0] != len(batch.rows):
                raise self._damaged(f"the graph gives {vectors.shape}, not a vector a token")
            for row, place in enumerate(batch.rows):
                ids = sequences[place][0]
                counts = [keep_all or i not in self._skipped for i in ids.tolist()]
                yield place, unit(vectors[row, : len(ids)][counts])

    def _window(self, wanted: int | None) -> int:
        if wanted is None:
            return self.max_length
        if wanted > self.longest:
            raise InputError(
                f"max_length is {wanted} and the model reads at most {self.longest} tokens",
                where=f"model {self._name}",
            )
        around = self._tokeniser.special + len(self._document_marker)
        return max(wanted, min(self.longest, LEAST_DOCUMENT + around))

    def _one(self, marker: object) -> list[int]:
        if marker is None:
            return []
        ids = list(self._tokeniser.encode([str(marker)], 4)[0].ids)
        if len(ids) != 1:
            raise self._damaged(f"{marker!r} is {len(ids)} tokens and must be one")
        return ids

    def _damaged(self, why: str) -> ModelDamagedError:
        return ModelDamagedError(
            "The late-interaction model cannot be used", where=str(self.folder.path), why=why
        )
