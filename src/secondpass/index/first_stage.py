"""The first stage of a search: a store that is searched by halves, or any retriever."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack, cast, runtime_checkable

from secondpass.errors import FilterError, InputError, RetrieverError
from secondpass.observe import stage
from secondpass.rerank.inputs import to_candidates
from secondpass.retrieve.groups import Placement, place
from secondpass.retrieve.protocol import RetrieverInfo
from secondpass.retrieve.retriever import (
    MAX_DEPTH,
    Retrieved,
    check_query_length,
)
from secondpass.types import Candidate, Document

if TYPE_CHECKING:
    from secondpass.retrieve.expansion import Expansion
    from secondpass.retrieve.store_protocol import Embedding, TextEncoder


class Retrieves(Protocol):
    """An object with `retrieve(query, k, filter)`, such as a `Retriever`."""

    @property
    def retrieve(self) -> Callable[..., Any]:
        """Return up to `k` candidates, best first."""


class Invokes(Protocol):
    """An object with `invoke(query)`, such as a retriever of LangChain."""

    @property
    def invoke(self) -> Callable[..., Any]:
        """Return documents, best first."""


_OWN_RANKING = "hybrid"
_DEEPER = 4


class FirstStageOptions(TypedDict, total=False):
    """What a search may ask of a first stage; see `HybridRetriever.search`, with defaults."""

    mode: str
    candidates: int
    filter: str | None
    fusion: str
    weights: Sequence[float] | None
    version: int | None
    complete_scores: bool
    placement: Placement | None
    expansion: Expansion | None


@runtime_checkable
class FirstStage(Protocol):
    """What a search asks its first stage for, as `HybridRetriever` offers it."""

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes there are, the default first; () for one ranking of another kind."""

    def describe(self) -> RetrieverInfo:
        """Return what can be searched and filtered here."""

    def search(self, query: str, **options: Unpack[FirstStageOptions]) -> Retrieved:
        """Return candidates, see `HybridRetriever.search`."""

    def score_passages(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        embedding: Embedding | None,
        version: int | None = None,
        expansion: Expansion | None = None,
    ) -> list[Candidate]:
        """Return passages with the scores that are known for them, without ranks."""

    def embeddings(
        self, documents: Sequence[Document], *, version: int | None = None
    ) -> dict[str, Embedding]:
        """Return the vectors of stored passages, by key."""

    def find_neighbors(
        self,
        documents: Sequence[Document],
        limit: int,
        *,
        filter: str | None = None,  # noqa: A002
        version: int | None = None,
    ) -> list[list[Document]]:
        """Return the nearest other passages of each passage."""

    def close(self) -> None:
        """Release what the first stage holds."""


RetrieverLike = FirstStage | Retrieves | Invokes | Callable[..., Any] | str
"""What a search can be made over; a text is the URL of a database."""


def make_first_stage(
    retriever: RetrieverLike, embedder: TextEncoder | str | None = None
) -> FirstStage:
    """Return the first stage of a search over a retriever, or over the database of a URL.

    Raises InputError for what is none, and what `open_retriever` raises for a URL.
    """
    if isinstance(retriever, str):
        from secondpass.retrieve.backends.registry import open_retriever

        return make_first_stage(open_retriever(retriever, embedder=embedder))
    if embedder is not None:
        raise InputError(
            "embedder is for the URL of a database",
            why=f"a {type(retriever).__name__} embeds queries itself",
            fix="Give the embedder to the retriever.",
        )
    if isinstance(retriever, FirstStage) and not inspect.isclass(retriever):
        return retriever
    return PlainFirstStage(retriever)


class PlainFirstStage:
    """Any retriever as a first stage: one ranking, searched as deep as options need.

    What it returns is checked: RetrieverError says what is wrong with it. Documents without an
    id get a hash of their content as id.
    """

    def __init__(self, retriever: RetrieverLike) -> None:
        self._retrieve = _retrieve_function(retriever)
        self.retriever = retriever
        self._info: RetrieverInfo | None = None

    @property
    def name(self) -> str:
        """The name for messages: that of its description, or of its function or class."""
        if self._info is not None and self._info.name is not None:
            return self._info.name
        return str(getattr(self.retriever, "__name__", type(self.retriever).__name__))

    @property
    def modes(self) -> tuple[str, ...]:
        """The mode of its ranking; () where that is of another kind."""
        return self.known.modes[:1]

    @property
    def known(self) -> RetrieverInfo:
        """What the retriever said of itself when it was first asked."""
        if self._info is None:
            self._info = self.describe()
        return self._info

    def describe(self) -> RetrieverInfo:
        """Return what the retriever says of itself; nothing where it has no `describe`."""
        describe = getattr(self.retriever, "describe", None)
        if describe is None:
            return RetrieverInfo()
        info = self._guard(describe)
        if not isinstance(info, RetrieverInfo):
            raise RetrieverError(
                "the retriever does not describe itself",
                where=self.name,
                why=f"describe() returned a {type(info).__name__}",
                fix="Return a RetrieverInfo, or leave describe out.",
            )
        return info

    def search(
        self,
        query: str,
        *,
        mode: str = _OWN_RANKING,
        candidates: int = 50,
        filter: str | None = None,  # noqa: A002
        fusion: str = "rrf",
        weights: Sequence[float] | None = None,
        version: int | None = None,
        complete_scores: bool = True,
        placement: Placement | None = None,
        expansion: Expansion | None = None,
    ) -> Retrieved:
        """Return up to `candidates` passages as the retriever ranks them.

        With groups or hidden documents it is asked again for more, until enough are left.
        """
        check_query_length(query)
        with stage("first_pass", query=query, mode=mode, candidates=candidates) as attributes:
            began = perf_counter()
            depth, kept, note = candidates, None, None
            if placement is not None and self.known.fields:
                placement.check(self.known.fields)
            while True:
                found, note = self._ask(query, depth, filter)
                if placement is None:
                    chosen = found
                    break
                kept = place([c.document for c in found], placement)
                chosen = [found[i] for i in kept.positions[:candidates]]
                if len(chosen) == candidates or len(found) < depth or depth >= MAX_DEPTH:
                    break
                depth = max(candidates, min(MAX_DEPTH, _DEEPER * depth))
            chosen = [replace(c, rank=rank) for rank, c in enumerate(chosen, 1)]
            ms = (perf_counter() - began) * 1000
            attributes["documents"] = len(chosen)
        timings = {"retrieve": ms, "total": ms}
        if kept is None:
            return Retrieved(chosen, timings, note=note)
        return Retrieved(
            chosen,
            timings,
            note=note,
            depth=len(found),
            groups=kept.groups,
            without=kept.without,
            exhausted=len(chosen) < candidates,
        )

    def score_passages(
        self,
        query: str,
        documents: Sequence[Document],
        *,
        embedding: Embedding | None,
        version: int | None = None,
        expansion: Expansion | None = None,
    ) -> list[Candidate]:
        """Return passages without scores: the retriever is not asked for those of one."""
        return [Candidate(document) for document in documents]

    def embeddings(
        self, documents: Sequence[Document], *, version: int | None = None
    ) -> dict[str, Embedding]:
        """Return no vectors."""
        return {}

    def find_neighbors(
        self,
        documents: Sequence[Document],
        limit: int,
        *,
        filter: str | None = None,  # noqa: A002
        version: int | None = None,
    ) -> list[list[Document]]:
        """Return no neighbors."""
        return [[] for _ in documents]

    def close(self) -> None:
        """Close the retriever, if it can be closed."""
        close = getattr(self.retriever, "close", None)
        if callable(close):
            close()

    def _ask(
        self,
        query: str,
        k: int,
        condition: str | None,
    ) -> tuple[list[Candidate], str | None]:
        found = self._guard(partial(self._retrieve, query, k, condition))
        candidates = check_candidates(found, self.name)
        note = None
        if len(candidates) > k:
            note = f"the retriever returned {len(candidates)} candidates, of which {k} are used"
        return candidates[:k], note

    def _guard(self, call: Callable[[], Any]) -> Any:
        """Call the retriever; what the network or a file raises becomes a RetrieverError."""
        try:
            return call()
        except OSError as error:
            raise RetrieverError(
                "the retriever failed",
                where=self.name,
                why=f"{type(error).__name__}: {error}",
                fix="See that what it searches is running and can be reached.",
                timeout=isinstance(error, TimeoutError),
            ) from error


def check_candidates(found: object, name: str) -> list[Candidate]:
    """Return what a retriever found as candidates; `name` is its name in errors.

    Accepted are candidates, documents, mappings with "text", texts, and documents of LangChain.
    Raises RetrieverError for anything else, two of the same id, and scores of only some.
    """
    if isinstance(found, str | Mapping) or not isinstance(found, Sequence):
        raise RetrieverError(
            "the retriever returned no list",
            where=name,
            why=f"it is {'None' if found is None else 'a ' + type(found).__name__}",
            fix="Return a list of Candidate, best first.",
        )
    try:
        candidates = to_candidates([_from_langchain(item) for item in found])
    except (InputError, TypeError) as error:
        raise RetrieverError(
            "the retriever returned something that is no candidate",
            where=name,
            why=str(error),
            fix="Return a list of Candidate(Document(text, id=…), score=…), best first.",
        ) from error
    candidates = _with_ids(candidates)
    seen: dict[str, int] = {}
    for position, candidate in enumerate(candidates):
        key = candidate.document.key
        if key in seen:
            raise RetrieverError(
                f"the retriever returned {key!r:.100} twice",
                where=name,
                why=f"candidates {seen[key]} and {position} have this id",
                fix="Return each passage once; passages of one document need an Origin.",
            )
        seen[key] = position
    without = [i for i, c in enumerate(candidates) if c.score is None]
    if without and len(without) < len(candidates):
        raise RetrieverError(
            "the retriever returned scores for some candidates only",
            where=name,
            why=f"candidate {without[0]} has none",
            fix="Give each a score, or none of them.",
        )
    return candidates


def _with_ids(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates, those without an id with a hash of their content as id."""
    named: list[Candidate] = []
    copies: dict[str, int] = {}
    for candidate in candidates:
        document = candidate.document
        if not document.id:
            content = f"{document.title or ''}\0{document.text}".encode(
                "utf-8", "surrogatepass"
            )
            name = hashlib.sha256(content).hexdigest()[:16]
            copies[name] = number = copies.get(name, 0) + 1
            name = name if number == 1 else f"{name}-{number}"
            candidate = replace(candidate, document=replace(document, id=name))
        named.append(candidate)
    return named


def _from_langchain(item: Any) -> Any:
    text = getattr(item, "page_content", None)
    if not isinstance(text, str):
        return item
    metadata = dict(getattr(item, "metadata", None) or {})
    return Document(text, getattr(item, "id", None), metadata=metadata)


def _retrieve_function(retriever: Any) -> Callable[[str, int, str | None], Any]:
    """Return `retrieve` of an object, or how to call what has none; raises InputError."""
    if inspect.isclass(retriever):
        raise InputError(
            f"{retriever.__name__} is a class",
            why="a search needs an object that retrieves",
            fix=f"Pass {retriever.__name__}(…).",
        )
    retrieve = getattr(retriever, "retrieve", None)
    if not callable(retrieve):
        invoke = getattr(retriever, "invoke", None)
        if callable(invoke):
            return partial(_invoke, cast("Callable[[str], Any]", invoke))
        retrieve = retriever
    if not callable(retrieve):
        raise InputError(
            f"a {type(retriever).__name__} cannot be searched",
            why="it has no method retrieve(query, k, filter)",
            fix="Pass a retriever, a function, or the URL of a database, such as "
            "'sqlite:///file.db?table=docs'.",
        )
    return partial(_call, cast("Callable[..., Any]", retrieve), _takes_filter(retrieve))


def _call(
    retrieve: Callable[..., Any], takes_filter: bool, query: str, k: int, condition: str | None
) -> Any:
    if condition is None:
        return retrieve(query, k)
    if not takes_filter:
        raise _no_filter(condition)
    return retrieve(query, k, filter=condition)


def _invoke(
    invoke: Callable[[str], Any], query: str, k: int, condition: str | None
) -> Sequence[Any]:
    if condition is not None:
        raise _no_filter(condition)
    found = invoke(query)
    # How many it finds is the retriever's own setting, so more than asked for is no surprise.
    return found[:k] if isinstance(found, list | tuple) else cast("Sequence[Any]", found)


def _takes_filter(retrieve: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(retrieve).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.name == "filter" or p.kind is p.VAR_KEYWORD for p in parameters)


def _no_filter(condition: str) -> FilterError:
    return FilterError(
        "the filter cannot be applied",
        where=condition,
        why="this retriever takes no filter",
        fix="Give its retrieve(query, k, filter) one, or leave the filter out.",
    )
