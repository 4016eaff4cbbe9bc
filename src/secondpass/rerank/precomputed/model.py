"""A reranker with precomputed document representations, over a model folder."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

from secondpass.errors import InputError, ModelDamagedError
from secondpass.inference.model_folder import ModelFolder, folder_identity
from secondpass.inference.query_cut import QueryCut, cut_model_query
from secondpass.inference.runtimes.onnxruntime import OnnxRuntime
from secondpass.inference.token_encoder import open_encoder
from secondpass.inference.tokenizer import TokenSequence
from secondpass.models import RESCORERS, bundled_path
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.early_exit import can_reach_top, early_exit_unsupported, lower_below
from secondpass.rerank.policies.wrapper import join_reasons
from secondpass.rerank.precomputed.folder import read_precomputed_folder, without_spans
from secondpass.rerank.precomputed.records import (
    DEFAULT_CACHE_BYTES,
    RecordCache,
    RecordEncoder,
    RecordLookup,
)
from secondpass.rerank.precomputed.scoring import EncodedQuery, WindowScorer
from secondpass.rerank.precomputed.segments import Segmenter, Text, segments_key
from secondpass.rerank.precomputed.sentences import (
    SentenceSlice,
    open_spans_graph,
    score_in_windows,
    score_slices,
    slice_sentences,
)
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record, Segments
from secondpass.rerank.score import Score, Scored, ScoringJob, SpanSource, make_window_scores
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import Sentences
from secondpass.rerank.windowing import (
    MIN_DOCUMENT_TOKENS,
    PassageAggregation,
    window_length,
)
from secondpass.types import Candidate, ScoreKind, Status


class PrecomputedReranker(BaseReranker):
    """Scores each document by the log-odds of relevance, from precomputed token states.

    What the encoder computes of a document does not depend on the query. It is computed once,
    compressed to a record and stored: in memory up to `cache_bytes`, and in a `StateStore`
    where there is one (see `with_store`). At query time only the query is encoded; a small
    graph reads it together with the records. The idea is that of MORES (Gao et al., EMNLP 2020)
    and PreTTR (MacAvaney et al., SIGIR 2020).

    - `threads`: for one batch.
    - `early_exit`: where fewer results are asked for than there are candidates, only those are
      read that can be among them, by the score that reading starts from: the cosine, and the
      nearest token of each word of the query. The others rank below all that were read.
      `early_exit_at` of a call asks for the same, whatever was given here.

    `max_length` bounds one window of a document, special tokens included; the query has its own
    limit. Raises `ModelDamagedError` for an incomplete folder, `ModelError` for an encoder that
    is not the model's own, `InputError` for a `label` (there is one output only) and for
    `early_exit` of a model that does not support it.
    """

    max_length: int

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        early_exit: bool = False,
    ) -> None:
        self._name = name if name is not None else str(folder.manifest.get("name", folder.path))
        if label is not None:
            raise InputError(f"A precomputed reranker has one output, not a label {label!r}")
        self.folder = folder
        self.precision = str(folder.manifest.get("precision", "unknown"))
        files = read_precomputed_folder(folder)
        self._encoder_folder = files.encoder
        # Most of opening a session is spent outside of Python's lock.
        with ThreadPoolExecutor(1) as beside:
            score_graph = beside.submit(OnnxRuntime, files.score, threads=threads)
            self.encoder = open_encoder(files.encoder, threads=threads)
        self._score_graph = score_graph.result()
        if self.encoder.states_width is None:
            raise ModelDamagedError(
                "The reranker cannot be used",
                where=str(folder.path),
                why="its encoder has no token states among its outputs",
            )
        self.longest = self.encoder.longest
        self.max_length = min(files.max_length, self.longest)
        self.codes = files.codes
        self.states_digest = files.states_digest
        self._calibration = (files.scale, files.shift)
        self._blend = files.blend
        self._record_encoder = RecordEncoder(
            self.encoder, lambda: OnnxRuntime(files.compress, threads=threads), files.codes
        )
        self._exit = files.exit if early_exit else None
        self.exits_early = files.start is not None
        if early_exit and files.start is None:
            raise early_exit_unsupported(self._name)
        self._start = files.exit
        start = files.start
        # Opened by the first who needs it: early exit, or spans.
        self._start_graph = cache(
            lambda: None if start is None else OnnxRuntime(start, threads=threads)
        )
        spans = files.spans
        self._span_line = (files.span_scale, files.span_shift)
        self._span_graph = cache(lambda: None if spans is None else open_spans_graph(spans))
        self._segmenter = Segmenter(self.encoder.tokenizer)
        self.cache = RecordCache(cache_bytes)
        self.store: StateStore | None = None

    @property
    def model(self) -> str:
        """The name the model was loaded by."""
        return self._name

    @property
    def blend_weights(self) -> Mapping[str, float] | None:
        """The weights for a `Blend`, from the manifest."""
        return self._blend

    @property
    def default_rescorer(self) -> str | None:
        """The model that was trained to read its first results again.

        None of models that are not bundled, and with early exit, which is there for its speed.
        """
        path = self.folder.path
        if self._exit is not None or path != bundled_path(path.name):
            return None
        return RESCORERS.get(path.name)

    @property
    def identity(self) -> str:
        """The fingerprint of the model for cache keys."""
        folder = without_spans(self.folder)
        return folder_identity(folder, self._encoder_folder, states=self.states_digest)

    def with_store(self, store: StateStore) -> PrecomputedReranker:
        """Return this reranker reading and writing records in a store; sessions are shared.

        A store of another model's records is not used.
        """
        if store.digest != self.states_digest:
            return self
        twin = copy.copy(self)
        twin.store, twin.states_mark = store, store.format.mark
        return twin

    def encode_records(
        self, sequences: Sequence[TokenSequence]
    ) -> Iterator[list[tuple[int, Record]]]:
        """Encode windows: yield their records batch by batch, each with its position."""
        return self._record_encoder.encode(sequences)

    def sequences(
        self, texts: Sequence[Text], options: ScoringOptions
    ) -> dict[bytes, TokenSequence]:
        """Return the token sequences of all windows of (head, body) texts, by record key.

        Raises `InputError` for a bad length.
        """
        return self._segmenter.sequences(
            texts,
            max_tokens=self._max_tokens(options),
            passages=options.passages,
            reach=options.tokens_in_reach,
        )

    def segment(self, texts: Sequence[Text]) -> list[Segments]:
        """Return the segments of texts under default options, and store them if possible."""
        return self._segment(texts, ScoringOptions())

    def unread_windows(self, texts: Sequence[Text]) -> list[TokenSequence]:
        """Return the windows of texts under default options that the store has no record of.

        Their segments are stored. Without a store, these are all windows.
        """
        options = ScoringOptions()
        text_of: dict[bytes, Text] = {}
        for text, segments in zip(texts, self.segment(texts), strict=True):
            text_of |= dict.fromkeys(segments.keys, text)
        missing = list(text_of) if self.store is None else self.store.missing(text_of)
        sequences = self._sequences_of(missing, text_of, options)
        return [sequences[key] for key in missing]

    def _segment(
        self, texts: Sequence[Text], options: ScoringOptions, *, write: bool = True
    ) -> list[Segments]:
        return self._segmenter.segment(
            texts,
            max_tokens=self._max_tokens(options),
            passages=options.passages,
            reach=options.tokens_in_reach,
            store=self.store,
            write=write,
        )

    def count_unread(self, texts: Sequence[Text]) -> list[int]:
        """Return of each text how many windows the store has no record of; writes nothing."""
        segments = self._segment(texts, ScoringOptions(), write=False)
        keys = dict.fromkeys(key for s in segments for key in s.keys)
        missing = set(keys if self.store is None else self.store.missing(keys))
        return [sum(key in missing for key in set(s.keys)) for s in segments]

    def segments_key(self, text: Text) -> bytes | None:
        """Return the store's key of a text's segments; None for one that is never stored."""
        options = ScoringOptions()
        return segments_key(
            text, self._max_tokens(options), options.passages, options.tokens_in_reach
        )

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score each candidate by the log-odds of relevance of its best windows.

        `tokens` counts what was encoded: the query, and the windows without a stored record.
        `pairs` counts the windows that were read; with `early_exit`, those of the candidates
        that can be among the first.
        """
        texts = options.texts(candidates)
        scorer = self.window_scorer(query, list(dict.fromkeys(texts)), options)
        skipped = self._skipped(scorer, texts, options)
        read = [text for text in scorer.segments if text not in skipped]
        scale, shift = self._calibration
        scores: dict[Text, Score] = {}
        for text, logits in scorer.score(self._score_graph, read).items():
            values = [scale * logit + shift for logit in logits]
            value = options.passages.combine(values)
            segments = scorer.segments[text]
            scores[text] = Score(
                value,
                sigmoid(value),
                len(values),
                segments.unread,
                window_scores=make_window_scores(segments.spans, values),
            )
        lowest = min(score.value for score in scores.values())
        for text, value in zip(
            skipped, lower_below(lowest, list(skipped.values())), strict=True
        ):
            unread = scorer.segments[text].unread
            scores[text] = Score(value, windows=0, unread=unread, scored=False)
        reason = None
        if skipped:
            reason = f"{len(read)} of {len(scorer.segments)} texts could be among the first"
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.LOGIT,
            pairs=sum(len(scorer.segments[text].keys) for text in read),
            tokens=scorer.query.tokens + scorer.records.tokens,
            query_tokens=scorer.query.tokens,
            status=Status.PARTIALLY_RERANKED if skipped else Status.RERANKED,
            reason=join_reasons([scorer.records.reason, reason]),
        )

    @property
    def spans_from(self) -> SpanSource:
        """The stored states of tokens: nothing is encoded for spans."""
        return "states"

    def score_sentences(
        self,
        query: str,
        candidates: Sequence[Candidate],
        sentences: Sequence[Sentences],
        options: ScoringOptions,
    ) -> Scored:
        """Score each sentence by the states of its tokens, which know their window.

        By the model's graph for sentences; where it has none, each alone by the score that
        reading starts from, the nearest token of each word of the query. Without either the
        sentences are read, and `pairs` counts them.
        """
        texts = options.texts(candidates)
        scorer = self.window_scorer(query, list(dict.fromkeys(texts)), options)
        slices: list[SentenceSlice | None] = []
        for text, spans in zip(texts, sentences, strict=True):
            slices += slice_sentences(text[1], spans, scorer.segments[text])
        read = 0
        get, longest = scorer.records.get, self.longest
        if (spans_graph := self._span_graph()) is not None:
            scale, shift = self._span_line
            logits = score_in_windows(spans_graph, scorer.query, slices, get, longest=longest)
        elif self._start is not None and (early := self._start_graph()) is not None:
            scale, shift = self._start.scale, self._start.shift
            logits = score_slices(early, scorer.query, slices, get, longest=longest)
        else:
            scale, shift = self._calibration
            logits = score_slices(self._score_graph, scorer.query, slices, get, longest=longest)
            read = len(slices) - slices.count(None)
        scores = [
            Score(0.0, windows=0, scored=False)
            if logit is None
            else Score(scale * logit + shift, sigmoid(scale * logit + shift))
            for logit in logits
        ]
        return Scored(
            scores,
            ScoreKind.LOGIT,
            pairs=read,
            tokens=scorer.records.tokens,
            reason=scorer.records.reason,
        )

    def score_batch(self, jobs: Sequence[ScoringJob]) -> list[Scored]:
        """Encode the new windows of all queries in shared batches, then score each query.

        The graph that reads records takes one query at a time, whose states all its documents
        share.
        """
        if len(jobs) == 1:
            return [self.score(*jobs[0])]
        tokens = self._preload(jobs)
        results = [self.score(*job) for job in jobs]
        return [
            replace(scored, tokens=scored.tokens + encoded)
            for scored, encoded in zip(results, tokens, strict=True)
        ]

    def _preload(self, jobs: Sequence[ScoringJob]) -> list[int]:
        """Encode the windows without a record; return how many tokens that was for each job."""
        tokens = [0] * len(jobs)
        groups: dict[tuple[int, PassageAggregation, int], list[int]] = {}
        for i, job in enumerate(jobs):
            options = job.options
            key = (self._max_tokens(options), options.passages, options.tokens_in_reach)
            groups.setdefault(key, []).append(i)
        for group in groups.values():
            segments = {}
            for i in group:
                query, candidates, options = jobs[i]
                texts = list(dict.fromkeys(options.texts(candidates)))
                segments[i] = self._segments_to_read(query, texts, options)
            records = self._records(
                [pair for i in group for pair in segments[i].items()], jobs[group[0]].options
            )
            records.preload(
                list(
                    dict.fromkeys(
                        k for i in group for s in segments[i].values() for k in s.keys
                    )
                )
            )
            encoded = dict(records.encoded)
            for i in group:
                keys = (key for s in segments[i].values() for key in s.keys)
                tokens[i] = sum(encoded.pop(key, 0) for key in keys)
        return tokens

    def window_scorer(
        self, query: str, texts: Sequence[Text], options: ScoringOptions
    ) -> WindowScorer:
        """Return a query and the windows of distinct texts that are read for it."""
        encoded_query = self.encode_query(query, options.max_query_tokens)
        segments = self._segments_to_read(query, texts, options)
        records = self._records(list(segments.items()), options)
        return WindowScorer(encoded_query, segments, records, self.longest)

    def _segments_to_read(
        self, query: str, texts: Sequence[Text], options: ScoringOptions
    ) -> dict[Text, Segments]:
        query = self.cut_query(query, options.max_query_tokens).text
        return {
            text: segments.choose(
                query, text[1], passages=options.passages, tokens=options.token_share
            )
            for text, segments in zip(texts, self._segment(texts, options), strict=True)
        }

    def _records(
        self, segments: Sequence[tuple[Text, Segments]], options: ScoringOptions
    ) -> RecordLookup:
        """Return the records of the windows of texts, all under the same options."""
        text_of = {key: text for text, s in segments for key in s.keys}

        def sequences(keys: Collection[bytes]) -> Mapping[bytes, TokenSequence]:
            return self._sequences_of(keys, text_of, options)

        lengths = {k: n for _, s in segments for k, n in zip(s.keys, s.lengths, strict=True)}
        return RecordLookup(self._record_encoder, self.cache, self.store, lengths, sequences)

    def _sequences_of(
        self, keys: Collection[bytes], text_of: Mapping[bytes, Text], options: ScoringOptions
    ) -> Mapping[bytes, TokenSequence]:
        """Return the token sequences of windows, of which unknown ones are tokenized."""
        recent = self._segmenter.take_recent(keys)
        texts = list({text_of[key]: None for key in keys if key not in recent})
        return recent | self.sequences(texts, options) if texts else recent

    def _skipped(
        self, scorer: WindowScorer, texts: Sequence[Text], options: ScoringOptions
    ) -> dict[Text, float]:
        """Return the texts that cannot be among the first, with their early scores."""
        early_exit, wanted = self._exit, options.top_k
        if options.early_exit_at is not None:
            early_exit, wanted = self._start, options.early_exit_at
        if early_exit is None or wanted is None or wanted >= len(texts):
            return {}
        start_graph = self._start_graph()
        assert start_graph is not None
        scale, shift = early_exit.scale, early_exit.shift
        early = {
            text: options.passages.combine([scale * value + shift for value in values])
            for text, values in scorer.score(start_graph, scorer.segments).items()
        }
        stays = can_reach_top([early[text] for text in texts], wanted, early_exit.margin)
        staying = {text for text, stay in zip(texts, stays, strict=True) if stay}
        return {text: score for text, score in early.items() if text not in staying}

    def cut_query(self, query: str, max_tokens: int | None) -> QueryCut:
        """Return what is read of a query."""
        tokenizer = self.encoder.tokenizer
        return cut_model_query(tokenizer, query, max_tokens, self.longest - tokenizer.special)

    def encode_query(self, query: str, max_tokens: int | None = None) -> EncodedQuery:
        """Return the encoded query, of a long one what `cut_query` leaves."""
        tokenizer = self.encoder.tokenizer
        text = self.cut_query(query, max_tokens).text
        (tokens,) = tokenizer.encode([text], limit=self.longest)
        sequence = tokenizer.single(tokens.ids)
        return EncodedQuery(self.encoder.encode_one(sequence), len(sequence[0]))

    def compress_query(self, query: EncodedQuery) -> Record:
        """Return the record that a query would have as a document."""
        return self._record_encoder.compress(query.encoded)

    def _max_tokens(self, options: ScoringOptions) -> int:
        """Return the tokens of a window, special tokens not counted."""
        special = self.encoder.tokenizer.special
        length = window_length(
            options.max_length,
            default=self.max_length,
            longest=self.longest,
            shortest=MIN_DOCUMENT_TOKENS + special,
            model=self._name,
        )
        return length - special


def use_store(reranker: BaseReranker, store: StateStore) -> BaseReranker:
    """Return a reranker or policy whose model reads and writes its records in a store.

    Models inside that compute no records, or whose records the store does not hold, stay as
    they are.
    """
    return reranker.map_base(
        lambda base: base.with_store(store) if isinstance(base, PrecomputedReranker) else base
    )
