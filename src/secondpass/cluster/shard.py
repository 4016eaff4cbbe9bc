"""A shard: searches its copy of each index, and reads the passages that it owns."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from secondpass.cluster.owners import owner_of_text
from secondpass.cluster.shard_versions import Pin, ShardVersions, open_versions
from secondpass.errors import InputError, SecondpassError
from secondpass.index.precompute import PrecomputedStates
from secondpass.index.storage.states import until_stopped
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.precomputed.removal import Removed
from secondpass.rerank.precomputed.segments import Text
from secondpass.rerank.score import Scored
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.spans import Sentences
from secondpass.retrieve.backends.lance.store import LanceStore
from secondpass.server.scheduler.queue import OverloadedError, QueueTimeoutError, WorkQueue
from secondpass.server.scheduler.scheduled_models import Ticket, current_ticket, use_ticket
from secondpass.server.settings import ServerSettings
from secondpass.server.state import ServerState
from secondpass.types import Candidate, Document

# What the other side may call of a version's retriever and of its store.
_OF_RETRIEVER = frozenset({"search", "score_passages", "embeddings", "find_neighbors"})
_OF_STORE = frozenset(
    {"bm25", "vector", "embeddings", "passages_of", "matching", "lookup", "versions"}
)
_log = logging.getLogger("secondpass.server")
_HEALTH = "health"
_HEALTH_SECONDS = 10.0
_PAIR = ("a river and the sea", Document("the river meets the sea"))


class Refusal(NamedTuple):
    """An error of the package as a value, since not each of them can be pickled."""

    kind: type[SecondpassError]
    message: str
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, error: SecondpassError) -> Refusal:
        """Return an error as a value."""
        return cls(type(error), str(error), dict(error.__dict__))

    def error(self) -> SecondpassError:
        """Return the error again."""
        made = self.kind.__new__(self.kind, self.message)
        made.args = (self.message,)
        made.__dict__.update(self.fields)
        return made


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What a shard serves: the places of indexes by name, as one of `shards`.

    `shard`: its number, from 0. `settings`: its models and how they run.
    """

    shard: int
    shards: int
    indexes: Mapping[str, str | Path]
    settings: ServerSettings


@dataclass(frozen=True, slots=True)
class AboutIndex:
    """What an index is, in one version; `pin` is None for an index in a folder."""

    pin: Pin | None
    place: str
    fields: Mapping[str, str]
    dimension: int
    documents: int
    passages: int
    modes: tuple[str, ...]
    language: str
    keyword_note: str | None
    version: int


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """The newest version of each index that a shard has, and what it could not do."""

    newest: Mapping[str, Pin | None]
    problems: Mapping[str, str]


class Shard:
    """One shard of a search, in a process of its own; thread-safe, all methods block.

    Its models run through the work queue of a server, so that requests of all tenants share
    batches. Raises what loading the models and opening the indexes raises.
    """

    def __init__(self, plan: ShardPlan) -> None:
        self.plan = plan
        self._state = ServerState(plan.settings)
        self._state.load()
        embedder = self._state.embedder()
        self._indexes: dict[str, ShardVersions] = {
            name: open_versions(place, embedder, shard=plan.shard, shards=plan.shards)
            for name, place in plan.indexes.items()
        }
        self._states = {
            name: PrecomputedStates(versions.states_folder, embedder, states=versions.states)
            for name, versions in self._indexes.items()
        }
        # Made once: requests share batches by the identity of the reranker.
        self._readers = {
            (name, model): states.use_states(self._state.model(model))
            for name, states in self._states.items()
            for model in plan.settings.models
        }

        for name, versions in self._indexes.items():
            versions.when_removed = partial(self._remove_states, name)

    @property
    def queue(self) -> WorkQueue:
        """The queue of what it reads."""
        return self._state.queue

    def about(self, name: str, pin: Pin | None) -> AboutIndex:
        """Return what an index is; `pin` None is the newest version."""
        version = self._index(name).at(pin)
        store = version.store
        return AboutIndex(
            pin=version.pin,
            place=str(self.plan.indexes[name]),
            fields=dict(store.fields),
            dimension=store.dimension,
            documents=store.count_documents(),
            passages=store.count_passages(),
            modes=version.retriever.modes,
            language=store.settings.language,
            keyword_note=store.keyword_note,
            version=store.version,
        )

    def retrieve(
        self,
        name: str,
        pin: Pin | None,
        state: int | None,
        target: str,
        method: str,
        arguments: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> Any:
        """Call a method of the retriever, or of the store, of a pinned version.

        `state`: an earlier state of the store within that version; None for its own.
        """
        version = self._index(name).at(pin)
        if target == "retriever" and method in _OF_RETRIEVER:
            return getattr(version.retriever, method)(*arguments, **options)
        if target != "store" or method not in _OF_STORE:
            raise ValueError(f"{target}.{method} is not to be called from elsewhere")
        store = version.store if state is None else version.store.checkout(state)
        return getattr(store, method)(*arguments, **options)

    def check_state(self, name: str, pin: Pin | None, state: int) -> None:
        """Raise InputError where the store has no such earlier state."""
        self._index(name).at(pin).store.checkout(state)

    def read(
        self,
        name: str,
        model: str,
        query: str,
        candidates: Sequence[Candidate],
        options: ScoringOptions,
        ticket: tuple[float, str],
    ) -> Scored:
        """Score candidates with a model by its name; see `BaseReranker.score`.

        `ticket`: the seconds that are left for it, and the tenant.
        """
        reader = self._readers[name, model]
        return self._in_time(ticket, lambda: reader.score(query, candidates, options))

    def read_sentences(
        self,
        name: str,
        model: str,
        query: str,
        candidates: Sequence[Candidate],
        sentences: Sequence[Sentences],
        options: ScoringOptions,
        ticket: tuple[float, str],
    ) -> Scored:
        """Score sentences; see `BaseReranker.score_sentences`, and `read`."""
        reader = self._readers[name, model]
        score = partial(reader.score_sentences, query, candidates, sentences, options)
        return self._in_time(ticket, score)

    def status(self) -> ShardStatus:
        """Read a pair, and return the versions that are open; raises what reading raises."""
        self.check_health()
        problems = {n: p for n, v in self._indexes.items() if (p := v.problem) is not None}
        return ShardStatus({n: v.newest for n, v in self._indexes.items()}, problems)

    def check_health(self) -> None:
        """Read a real pair through the queue; a queue that is full is not ill.

        Raises what the model raises, and QueueTimeoutError where it does not read.
        """
        query, document = _PAIR
        reranker: BaseReranker = self._state.model()
        # As a tenant of its own it does not wait for the work of others.
        with use_ticket(Ticket(time.monotonic() + _HEALTH_SECONDS, _HEALTH)):
            try:
                reranker.score(query, [Candidate(document)], ScoringOptions())
            except OverloadedError:
                return

    def close(self) -> None:
        """Close indexes and models."""
        self._state.close()
        for versions in self._indexes.values():
            versions.close()
        # After the threads of versions, which remove states.
        for states in self._states.values():
            states.close()

    def _remove_states(self, name: str, store: LanceStore, stop: threading.Event) -> None:
        """Remove states of passages that a version does not have, or another shard owns."""
        states, removed = self._states[name], Removed()
        for model in self.plan.settings.models:
            base = states.find_precomputed(self._state.model(model))
            if base is not None:
                documents = until_stopped(store.iter_documents(), stop)
                owns = partial(self._owns, base)
                removed += states.remove_unneeded(base, documents, owns=owns)
        fields = {"index": name, "states": removed.states, "bytes": removed.bytes}
        _log.info("states that are not needed were removed", extra={"fields": fields})
        if removed.problem is not None:
            _log.warning("not all such states were removed: %s", removed.problem)

    def _owns(self, base: BaseReranker, text: Text) -> bool:
        return owner_of_text(base, text, self.plan.shards) == self.plan.shard

    def _index(self, name: str) -> ShardVersions:
        if name not in self._indexes:
            raise InputError(f"there is no index {name!r} here")
        return self._indexes[name]

    def _in_time(self, ticket: tuple[float, str], score: Callable[[], Scored]) -> Scored:
        seconds, tenant = ticket
        if seconds <= 0:
            raise QueueTimeoutError("The request timed out")
        # That of the caller, where it has one: it can be cancelled from outside.
        own = current_ticket()
        own.deadline, own.tenant = time.monotonic() + seconds, tenant
        with use_ticket(own):
            return score()


def shard_settings(settings: ServerSettings) -> ServerSettings:
    """Return the settings of a shard: the models of a server, and nothing that it serves."""
    return replace(
        settings,
        models=settings.loaded_models,
        indexes={},
        databases={},
        data=None,
        llm=None,
        host="127.0.0.1",
        keys=None,
        cache=None,
        grpc_port=None,
    )
