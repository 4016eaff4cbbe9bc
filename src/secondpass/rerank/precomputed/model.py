"""A reader over a model folder."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from secondpass.errors import InputError, ModelDamagedError
from secondpass.inference.model_folder import ModelFolder, folder_identity
from secondpass.inference.runtimes.onnxruntime import OnnxRuntime
from secondpass.inference.token_encoder import open_encoder
from secondpass.inference.tokenizer import TokenSequence
from secondpass.rerank.base import BaseReranker, Score, Scored, ScoringJob, seen_windows
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.early_exit import below, no_exits, reachable
from secondpass.rerank.policies.wrapper import join
from secondpass.rerank.precomputed.folder import read_reader_folder
from secondpass.rerank.precomputed.records import (
    DEFAULT_BYTES,
    RecordCache,
    Records,
    StateReader,
)
from secondpass.rerank.precomputed.scoring import EncodedQuery, Search
from secondpass.rerank.precomputed.segments import Cutter, Text, cut_name
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Cut, Record
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.windowing import LEAST_DOCUMENT, PassageAggregation, Windows
from secondpass.types import Candidate, ScoreKind, Status


class PrecomputedReranker(BaseReranker):
    """Scores each document by the log-odds of relevance, from states kept of its tokens.

    What the encoder makes of a document does not depend on the query. It is computed
    once, compressed and kept: in memory up to `cache_bytes`, and in a `StateStore` where
    there is one (see `with_states`). At query time only the query goes through the layers
    that read. The idea is that of MORES (Gao et al., EMNLP 2020) and PreTTR (MacAvaney et
    al., SIGIR 2020).

    `max_length` bounds one window of a document, special tokens included; the query is
    apart from it. `threads` is the number of threads for one batch. With `exits`, where
    fewer results are wanted than there are candidates, only those are read that can be
    among them, judged by the score that reading starts from: the cosine, and the nearest
    token of each word of the query. The others stand below all that were read. Raises
    `ModelDamagedError` for a folder that lacks something, `ModelError` for an encoder that
    is not the reader's own, `InputError` for a `label` (there is one output only) and for
    `exits` of a reader that has none.
    """

    max_length: int

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
        cache_bytes: int = DEFAULT_BYTES,
        exits: bool = False,
    ) -> None:
        self._name = name if name is not None else str(folder.manifest.get("name", folder.path))
        if label is not None:
            raise InputError(f"A reader has one output, not a label {label!r}")
        self.folder = folder
        self.precision = str(folder.manifest.get("precision", "unknown"))
        parts = read_reader_folder(folder)
        self._encoder_folder = parts.encoder
        self.encoder = open_encoder(parts.encoder, threads=threads)
        if self.encoder.states_width is None:
            raise ModelDamagedError(
                "The reader cannot be used",
                where=str(folder.path),
                why="its encoder gives no states",
            )
        self.longest = self.encoder.longest
        self.max_length = min(parts.max_length, self.longest)
        self.codes = parts.codes
        self.states_digest = parts.states_digest
        self._calibration = (parts.scale, parts.shift)
        self._blend = parts.blend
        compress = OnnxRuntime(parts.compress, threads=threads)
        self._states = StateReader(self.encoder, compress, parts.codes)
        self._scores = OnnxRuntime(parts.score, threads=threads)
        self._exit = parts.exit if exits else None
        if exits and parts.start is None:
            raise no_exits(self._name)
        wanted = parts.start if exits else None
        self._start = None if wanted is None else OnnxRuntime(wanted, threads=threads)
        self._cutter = Cutter(self.encoder.tokenizer)
        self.cache = RecordCache(cache_bytes)
        self.store: StateStore | None = None

    @property
    def model(self) -> str:
        """The name the model was loaded by."""
        return self._name

    @property
    def blend_weights(self) -> Mapping[str, float] | None:
        """The weights that were fitted for it, as its manifest has them."""
        return self._blend

    @property
    def identity(self) -> str:
        """What tells this reader's scores from those of any other."""
        return folder_identity(self.folder, self._encoder_folder, states=self.states_digest)

    def with_states(self, store: StateStore) -> PrecomputedReranker:
        """Return this reader with a place to keep records in; sessions are shared.

        A store of another model's records is not used.
        """
        if store.digest != self.states_digest:
            return self
        twin = copy.copy(self)
        twin.store = store
        return twin

    def read(self, sequences: Sequence[TokenSequence]) -> Iterator[list[tuple[int, Record]]]:
        """Read windows anew: yield records, batch by batch, each with its position."""
        return self._states.read(sequences)

    def windows(self, texts: Sequence[Text], reading: ScoringOptions) -> list[Windows]:
        """Return the windows of each (head, body); raises `InputError` for a bad length."""
        return self._cutter.windows(texts, room=self._room(reading), passages=reading.passages)

    def cut(self, texts: Sequence[Text]) -> list[Cut]:
        """Return where texts are cut unless a search says otherwise, keeping it if it can."""
        reading = ScoringOptions()
        return self._cutter.cut(
            texts, room=self._room(reading), passages=reading.passages, kept=self.store
        )

    def cut_name(self, text: Text) -> bytes | None:
        """Return what the cut of a text is kept under; None for one that is never kept."""
        reading = ScoringOptions()
        return cut_name(text, self._room(reading), reading.passages)

    def score(
        self, query: str, candidates: Sequence[Candidate], reading: ScoringOptions
    ) -> Scored:
        """Score each candidate by the log-odds of relevance of its best windows.

        `tokens` counts what was encoded for it: the query, and the windows of which no
        record was kept. `pairs` counts the windows that were read; with `exits`, those of
        the candidates that could be among the first.
        """
        question = self.question(query)
        texts = reading.texts(candidates)
        search = self.search(question, list(dict.fromkeys(texts)), reading)
        left = self._left_out(search, texts, reading)
        read = [text for text in search.cuts if text not in left]
        scale, shift = self._calibration
        scores: dict[Text, Score] = {}
        for text, values in search.values(self._scores, read).items():
            value = reading.passages.combine([scale * logit + shift for logit in values])
            cut = search.cuts[text]
            seen = seen_windows(cut.spans, [scale * logit + shift for logit in values])
            scores[text] = Score(value, sigmoid(value), len(values), cut.unread, seen=seen)
        told = f"{len(read)} of {len(search.cuts)} texts could still be among the first"
        lowest = min(score.value for score in scores.values())
        for text, value in zip(left, below(lowest, list(left.values())), strict=True):
            unread = search.cuts[text].unread
            scores[text] = Score(value, windows=0, unread=unread, scored=False)
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.LOGIT,
            pairs=sum(len(search.cuts[text].keys) for text in read),
            tokens=question.tokens + search.records.tokens,
            status=Status.PARTIALLY_RERANKED if left else Status.RERANKED,
            reason=join([search.records.reason, told if left else None]),
        )

    def score_together(self, asked: Sequence[ScoringJob]) -> list[Scored]:
        """Encode what is new of all queries in the same batches, then score each.

        The reading layers read one query at a time, whose states all its documents share.
        """
        if len(asked) == 1:
            return [self.score(*asked[0])]
        ahead = self._read_ahead(asked)
        found = [self.score(*one) for one in asked]
        pairs = zip(found, ahead, strict=True)
        return [replace(scored, tokens=scored.tokens + tokens) for scored, tokens in pairs]

    def _read_ahead(self, asked: Sequence[ScoringJob]) -> list[int]:
        """Encode the windows of all that are not kept; return how many tokens each brought."""
        brought = [0] * len(asked)
        alike: dict[tuple[int, PassageAggregation], list[int]] = {}
        for i, one in enumerate(asked):
            alike.setdefault((self._room(one.reading), one.reading.passages), []).append(i)
        for some in alike.values():
            texts = {i: asked[i].reading.texts(asked[i].candidates) for i in some}
            distinct = list(dict.fromkeys(text for i in some for text in texts[i]))
            cuts, records = self._records(distinct, asked[some[0]].reading)
            records.read([key for cut in cuts.values() for key in cut.keys])
            left = dict(records.encoded)
            for i in some:
                keys = (key for text in texts[i] for key in cuts[text].keys)
                brought[i] = sum(left.pop(key, 0) for key in keys)
        return brought

    def search(
        self, question: EncodedQuery, texts: Sequence[Text], reading: ScoringOptions
    ) -> Search:
        """Return the windows of distinct texts, and where their records are found."""
        cuts, records = self._records(texts, reading)
        return Search(question, cuts, records, self.longest)

    def _records(
        self, texts: Sequence[Text], reading: ScoringOptions
    ) -> tuple[dict[Text, Cut], Records]:
        room, passages = self._room(reading), reading.passages
        cuts = self._cutter.cut(texts, room=room, passages=passages, kept=self.store)
        owners = {key: text for text, one in zip(texts, cuts, strict=True) for key in one.keys}

        def sequences(keys: Collection[bytes]) -> Mapping[bytes, TokenSequence]:
            owning = list({owners[key]: None for key in keys})
            return self._cutter.sequences(owning, room=room, passages=passages)

        lengths = {k: n for one in cuts for k, n in zip(one.keys, one.lengths, strict=True)}
        records = Records(self._states, self.cache, self.store, lengths, sequences)
        return dict(zip(texts, cuts, strict=True)), records

    def _left_out(
        self, search: Search, texts: Sequence[Text], reading: ScoringOptions
    ) -> dict[Text, float]:
        """Return the texts that cannot be among the first, with their early scores."""
        if self._exit is None or reading.top_k is None or reading.top_k >= len(texts):
            return {}
        assert self._start is not None
        scale, shift = self._exit.scale, self._exit.shift
        early = {
            text: reading.passages.combine([scale * value + shift for value in values])
            for text, values in search.values(self._start, search.cuts).items()
        }
        stays = reachable([early[text] for text in texts], reading.top_k, self._exit.margin)
        kept = {text for text, stay in zip(texts, stays, strict=True) if stay}
        return {text: score for text, score in early.items() if text not in kept}

    def question(self, query: str) -> EncodedQuery:
        """Return the query encoded; raises `InputError` for one that is too long."""
        tokeniser = self.encoder.tokenizer
        room = self.longest - tokeniser.special
        (tokens,) = tokeniser.encode([query], limit=room + 1)
        if len(tokens.ids) > room:
            raise InputError(
                "The query is too long for the model",
                where=f"query {query[:40]!r}…",
                why=f"it has {len(tokens.ids)} tokens or more and may have at most {room}",
                fix="Shorten the query, or use a model that reads longer texts.",
            )
        sequence = tokeniser.single(tokens.ids)
        return EncodedQuery(self.encoder.encode_one(sequence), len(sequence[0]))

    def compressed(self, question: EncodedQuery) -> Record:
        """Return the record that a query would have as a document."""
        return self._states.compress(question.encoded)

    def _room(self, reading: ScoringOptions) -> int:
        return self._window_length(reading.max_length) - self.encoder.tokenizer.special

    def _window_length(self, wanted: int | None) -> int:
        if wanted is None:
            return self.max_length
        if wanted > self.longest:
            raise InputError(
                f"max_length is {wanted} and the model reads at most {self.longest} tokens",
                where=f"model {self._name}",
            )
        return max(wanted, min(self.longest, LEAST_DOCUMENT + self.encoder.tokenizer.special))
