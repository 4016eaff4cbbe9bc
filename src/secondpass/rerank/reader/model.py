"""A reader over a model folder."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

from secondpass.engine.folder import ModelFolder
from secondpass.engine.runtimes.onnxruntime import OnnxRuntime
from secondpass.engine.token_encoder import open_encoder
from secondpass.engine.tokenise import TokenSequence
from secondpass.errors import InputError, ModelDamagedError
from secondpass.rerank.base import BaseReranker, Score, Scored
from secondpass.rerank.cross_encoder.labels import sigmoid
from secondpass.rerank.reader.cache import DEFAULT_BYTES, RecordCache
from secondpass.rerank.reader.folder import read_reader_folder
from secondpass.rerank.reader.record import Record, record_key
from secondpass.rerank.reader.scoring import Question, read_records
from secondpass.rerank.reader.states import StateReader
from secondpass.rerank.reader.store import StateStore
from secondpass.rerank.reading import Reading
from secondpass.rerank.windows import LEAST_DOCUMENT, Windows, pieces
from secondpass.types import Candidate, ScoreKind

# So many windows are held at once, whatever the number of candidates.
_GROUP = 256


class Reader(BaseReranker):
    """Scores each document by the log-odds of relevance, from states kept of its tokens.

    What the encoder makes of a document does not depend on the query. It is computed
    once, compressed and kept: in memory up to `cache_bytes`, and in a `StateStore` where
    there is one (see `with_states`). At query time only the query goes through the layers
    that read. The idea is that of MORES (Gao et al., EMNLP 2020) and PreTTR (MacAvaney et
    al., SIGIR 2020).

    `max_length` bounds one window of a document, special tokens included; the query is
    apart from it. `threads` is the number of threads for one batch. Raises
    `ModelDamagedError` for a folder that lacks something, `ModelError` for an encoder that
    is not the reader's own, `InputError` for a `label`: there is one output only.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
        cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        self._name = name if name is not None else str(folder.manifest.get("name", folder.path))
        if label is not None:
            raise InputError(f"A reader has one output, not a label {label!r}")
        self.folder = folder
        parts = read_reader_folder(folder)
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

    def with_states(self, store: StateStore) -> Reader:
        """Return this reader with a place to keep records in; sessions are shared."""
        twin = copy.copy(self)
        twin.store = store
        return twin

    def read(self, sequences: Sequence[TokenSequence]) -> Iterator[list[tuple[int, Record]]]:
        """Read windows anew: yield records, batch by batch, each with its position."""
        return self._states.read(sequences)

    def windows(self, texts: Sequence[tuple[str, str]], reading: Reading) -> list[Windows]:
        """Return the windows of each (head, body); raises `InputError` for a bad length."""
        tokeniser = self.encoder.tokeniser
        room = self._window_length(reading.max_length) - tokeniser.special
        found = pieces(tokeniser, texts, room=room, passages=reading.passages)
        return [Windows(tuple(map(tokeniser.single, p.ids)), p.unread) for p in found]

    def score(self, query: str, candidates: Sequence[Candidate], reading: Reading) -> Scored:
        """Score each candidate by the log-odds of relevance of its best windows.

        `tokens` counts what was encoded for it: the query, and the windows of which no
        record was kept.
        """
        question = self.question(query)
        texts = reading.texts(candidates)
        distinct = list(dict.fromkeys(texts))
        cut = self.windows(distinct, reading)
        # By key, so that windows of the same tokens are read once and tie to the last bit.
        windows = {record_key(s): s for document in cut for s in document.sequences}
        order = sorted(windows, key=lambda key: len(windows[key][0]))
        logits: dict[bytes, float] = {}
        scale, shift = self._calibration
        tokens, problems = question.tokens, dict[str, None]()
        for start in range(0, len(order), _GROUP):
            some = {key: windows[key] for key in order[start : start + _GROUP]}
            records, encoded = self.records(some, problems)
            tokens += encoded
            values = read_records(
                self._scores, question, [records[key] for key in some], longest=self.longest
            )
            calibrated = scale * values + shift
            logits.update(zip(some, calibrated.tolist(), strict=True))
        scores = {}
        for text, document in zip(distinct, cut, strict=True):
            found = [logits[record_key(s)] for s in document.sequences]
            value = reading.passages.combine(found)
            scores[text] = Score(value, sigmoid(value), len(found), document.unread)
        return Scored(
            [scores[text] for text in texts],
            ScoreKind.LOGIT,
            pairs=sum(len(document.sequences) for document in cut),
            tokens=tokens,
            reason=_reason(problems),
        )

    def question(self, query: str) -> Question:
        """Return the query encoded; raises `InputError` for one that is too long."""
        tokeniser = self.encoder.tokeniser
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
        return Question(self.encoder.encode_one(sequence), len(sequence[0]))

    def compressed(self, question: Question) -> Record:
        """Return the record that a query would have as a document."""
        return self._states.compress(question.encoded)

    def records(
        self, windows: Mapping[bytes, TokenSequence], problems: dict[str, None]
    ) -> tuple[dict[bytes, Record], int]:
        """Return the records of all windows, and how many tokens had to be encoded.

        What went wrong with those that were kept becomes a key of `problems`.
        """
        records = {key: r for key in windows if (r := self.cache.get(key)) is not None}
        store = self.store
        missing = [key for key in windows if key not in records]
        if store is not None and missing:
            kept = store.get(missing)
            # A record of another length would answer for another text.
            fitting = {k: r for k, r in kept.records.items() if r.tokens == len(windows[k][0])}
            records |= fitting
            self._remember(fitting)
            if kept.problem is not None:
                problems[kept.problem] = None
            missing = [key for key in missing if key not in records]
        fresh: dict[bytes, Record] = {}
        for batch in self.read([windows[key] for key in missing]):
            fresh |= {missing[position]: record for position, record in batch}
        self._remember(fresh)
        if store is not None and fresh:
            problem = store.put(fresh.items())
            if problem is not None:
                problems[problem] = None
        return records | fresh, sum(record.tokens for record in fresh.values())

    def _remember(self, records: Mapping[bytes, Record]) -> None:
        for key, record in records.items():
            self.cache.put(key, record)

    def _window_length(self, wanted: int | None) -> int:
        if wanted is None:
            return self.max_length
        if wanted > self.longest:
            raise InputError(
                f"max_length is {wanted} and the model reads at most {self.longest} tokens",
                where=f"model {self._name}",
            )
        return max(wanted, min(self.longest, LEAST_DOCUMENT + self.encoder.tokeniser.special))


def _reason(problems: Mapping[str, None]) -> str | None:
    if not problems:
        return None
    return f"{'; '.join(problems)}; documents were read again"
