"""A late-interaction model over a model folder, shaped like ColBERT."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence

import numpy as np

from secondpass.errors import InputError, ModelDamagedError
from secondpass.inference.encoder import each_batch
from secondpass.inference.model_folder import ModelFolder
from secondpass.inference.positions import longest_input
from secondpass.inference.runtimes import Float32, load_runtime
from secondpass.inference.tokenizer import Tokeniser, TokenSequence
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.maxsim import maxsim, unit
from secondpass.rerank.rerank_windows import LEAST_DOCUMENT, pieces
from secondpass.rerank.scoring_options import Reading
from secondpass.types import Candidate, ScoreKind

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
        self._tokeniser = Tokeniser(folder.path / "tokenizer.json")
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

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
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
        for batch, found in each_batch(
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
