"""A search whose first pass any shard runs, and whose second pass the owners of passages do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from secondpass.cluster.owners import (
    Unread,
    find_owners,
    join_scores,
    join_sentences,
    split_by_owner,
)
from secondpass.cluster.sharded_index import ShardedFirstStage, ShardedIndex, ShardedStore
from secondpass.index.search import Search
from secondpass.inference.query_cut import QueryCut
from secondpass.options import SearchOptions
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.score import Scored, SpanSource
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import Sentences
from secondpass.server.http_errors import UnavailableError
from secondpass.server.scheduler.queue import OverloadedError
from secondpass.types import Candidate, RerankResponse

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import (
        TextEncoder,
    )


class ShardReader(BaseReranker):
    """A model that runs at the shards: each reads the candidates that it owns.

    `model_here` is the same model in this process, for what it says of itself; `served` is its
    name at the shards. Candidates of a shard that does not answer in time, or has no time for
    them, stay unscored, and the response says so. Raises OverloadedError where no shard has
    time, and UnavailableError where none answers.
    """

    runs_here = False

    def __init__(self, model_here: BaseReranker, served: str, index: ShardedIndex) -> None:
        self._here, self._served, self._index = model_here, served, index
        self.max_length = model_here.max_length
        self.precision = model_here.precision
        self.precision_reason = model_here.precision_reason
        self.follows_instructions = model_here.follows_instructions
        self.exits_early = model_here.exits_early

    @property
    def model(self) -> str:
        """The name of the model."""
        return self._here.model

    @property
    def identity(self) -> str | None:
        """The fingerprint of the model: where it runs changes no score."""
        return self._here.identity

    @property
    def blend_weights(self) -> Mapping[str, float] | None:
        """The weights for a `Blend` that were fitted for the model."""
        return self._here.blend_weights

    @property
    def default_rescorer(self) -> str | None:
        """The model that reads its first results again."""
        return self._here.default_rescorer

    def cut_query(self, query: str, max_tokens: int | None) -> QueryCut:
        """Return what the model reads of a query."""
        return self._here.cut_query(query, max_tokens)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Let each owner score its candidates, and return the scores of all."""
        positions = self._split(candidates)
        parts, unread = self._read(
            "read",
            {
                shard: (query, [candidates[i] for i in chosen])
                for shard, chosen in positions.items()
            },
            options,
        )
        return join_scores(
            parts, positions, len(candidates), unread=unread, shards=self._index.calls.count
        )

    @property
    def spans_from(self) -> SpanSource | None:
        """Where the spans of the model come from."""
        return self._here.spans_from

    def score_sentences(
        self,
        query: str,
        candidates: Sequence[Candidate],
        sentences: Sequence[Sentences],
        options: ScoringOptions,
    ) -> Scored:
        """Let each owner score the sentences of its candidates."""
        positions = self._split(candidates)
        with_sentences = {
            shard: kept
            for shard, chosen in positions.items()
            if (kept := [i for i in chosen if sentences[i]])
        }
        parts, unread = self._read(
            "read_sentences",
            {
                shard: (query, [candidates[i] for i in chosen], [sentences[i] for i in chosen])
                for shard, chosen in with_sentences.items()
            },
            options,
        )
        return join_sentences(
            parts, with_sentences, sentences, unread=unread, shards=self._index.calls.count
        )

    def _split(self, candidates: Sequence[Candidate]) -> dict[int, list[int]]:
        calls = self._index.calls
        return split_by_owner(find_owners(self._here, candidates, calls.count))

    def _read(
        self, method: str, work: Mapping[int, tuple[Any, ...]], options: ScoringOptions
    ) -> tuple[Mapping[int, Scored], list[Unread]]:
        calls = self._index.calls
        read = replace(options, started=None)
        name, model = self._index.name, self._served
        documents = {shard: len(some[1]) for shard, some in work.items()}
        answers = calls.ask_owners(
            {shard: (method, (name, model, *some, read)) for shard, some in work.items()},
            documents,
        )
        unread = [
            Unread(shard, documents[shard], why) for shard, why in answers.missing.items()
        ]
        if not answers.found:
            if answers.retry_after is not None:
                raise OverloadedError(answers.retry_after)
            whys = "; ".join(f"shard {one.shard} {one.why}" for one in unread)
            raise UnavailableError(
                "no shard has read its candidates",
                where=f"model {self.model}",
                why=whys,
                fix="See /ready for the shards that are missing; they are started again.",
            )
        return answers.found, unread


class ShardedReaders:
    """Gives the models of a server to the shards, as `PrecomputedStates` gives them states."""

    def __init__(self, index: ShardedIndex, models: Mapping[str, BaseReranker]) -> None:
        readers = [
            (reranker.base, ShardReader(reranker.base, name, index))
            for name, reranker in models.items()
            if reranker.base.runs_here
        ]
        self._readers = readers

    available = False
    """Whether states can be stored: shards store what they read."""

    def use_states(self, reranker: BaseReranker) -> BaseReranker:
        """Return a reranker whose models run at the shards; one that they lack runs here."""
        return reranker.map_base(self._replace)

    def _replace(self, base: BaseReranker) -> BaseReranker:
        return next((reader for own, reader in self._readers if own is base), base)


class ShardedSearch(Search):
    """A `Search` over the shards of an index; thread-safe."""

    def __init__(
        self,
        index: ShardedIndex,
        embedder: TextEncoder,
        reranker: BaseReranker,
        models: Mapping[str, BaseReranker],
    ) -> None:
        self.index = index
        super().__init__(
            ShardedFirstStage(index, embedder),
            reranker,
            states=ShardedReaders(index, models),
        )

    def search(
        self, query: str | Sequence[str], **options: Unpack[SearchOptions]
    ) -> RerankResponse:
        """Find documents in two passes over one version; see `Search.search`."""
        with self.index.pinned():
            return Search.search(self, query, **options)

    def first_pass(self, query: str, **options: Any) -> list[Candidate]:
        """Return the first-stage candidates of a search; see `Search.first_pass`."""
        with self.index.pinned():
            return Search.first_pass(self, query, **options)

    @property
    def language(self) -> str:
        """The language of stemming and stop words; "none" for neither."""
        return self.index.about.language

    def stored_ids(self, ids: Sequence[str]) -> set[str]:
        """Return those of these document ids that are stored."""
        return set(ShardedStore(self.index).lookup(ids))
