"""The settings of a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondpass.errors import InputError
from secondpass.models import RESCORERS

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_POSITIVE = (
    "max_documents",
    "max_body",
    "max_depth",
    "most_waiting",
    "timeout",
    "write_timeout",
    "header_timeout",
    "body_timeout",
    "keep_alive",
    "drain",
)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What is served, to whom, and within which limits.

    - `models`: names or folders of rerankers. The first is the default, also for names that
      are not listed, unless `strict`: then such a name is not found (404).
    - `indexes`: folders or URLs of indexes to search, by name; the first is the default.
      `databases`: URLs of databases to search like indexes, by name. `data`: a folder for
      indexes that clients create, None where they may create none.
    - `rescore`: whether the first results of searches are read again where a request does not
      say, by the model that goes with the default one.
    - `exits`: whether models stop early on candidates that cannot be in the top k.
    - `precision`, `calibration_pairs`: how models are loaded, as of `Reranker`; None for the
      files as they are.
    - `cache`: the file, or the redis:// URL, in which scores of pairs are cached; None for no
      cache. Not shown, as a URL may have a password.
    - `llm`: the language model of answers, such as "openai/gpt-5-mini"; without one, answers
      are sentences of the passages.
    - `keys`: a file that `secondpass keys` wrote. Without one no key is needed, and `host` must
      be a loopback address, so that only this machine can connect.
    - `max_documents` a request, `max_body` bytes, `max_depth` of nested JSON.
    - `most_waiting`: tokens that may wait for one tenant; beyond it the response is 429.
    - `grpc_port`: the port of Weaviate's gRPC API, 0 for any free one; None for no gRPC.
    - `weaviate_open`: accept requests of Weaviate's database without a key, as it sends none.
    - `timeout`: seconds for a request, waiting included; `write_timeout`: for one that stores
      documents; `drain`: seconds to finish requests under way when the server stops.
    - `header_timeout`, `body_timeout`: seconds in which the headers and the body of a request
      must arrive; `keep_alive`: seconds that a connection may be idle between requests, longer
      than a proxy in front keeps it.

    Raises InputError for values that are out of range.
    """

    models: Sequence[str] = ("bundled",)
    indexes: Mapping[str, str | Path] = field(default_factory=dict)
    databases: Mapping[str, str] = field(default_factory=dict)
    data: Path | None = None
    llm: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    keys: Path | None = None
    strict: bool = False
    rescore: bool = True
    exits: bool = False
    precision: str | None = None
    calibration_pairs: Path | None = None
    cache: str | Path | None = field(default=None, repr=False)
    threads: int | None = None
    max_documents: int = 10_000
    max_body: int = 20_000_000
    max_depth: int = 32
    most_waiting: int = 1_000_000
    timeout: float = 30.0
    write_timeout: float = 300.0
    drain: float = 20.0
    header_timeout: float = 10.0
    body_timeout: float = 60.0
    keep_alive: int = 75
    weaviate_open: bool = False
    grpc_port: int | None = None

    @property
    def rescorer(self) -> str | None:
        """The model that rescores searches where a request does not say; None for none."""
        searches = self.indexes or self.databases or self.data is not None
        if not self.rescore or self.exits or not searches:
            return None
        return RESCORERS.get(self.models[0])

    @property
    def loaded_models(self) -> list[str]:
        """The models that are served, and the one that rescores."""
        also = () if self.rescorer is None else (self.rescorer,)
        return list(dict.fromkeys((*self.models, *also)))

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("There is no model to serve", fix="Name at least one.")
        for name in self.databases:
            if name in self.indexes:
                raise InputError(
                    f"There is an index and a database {name!r}",
                    fix="Name one of them otherwise: --over NAME=URL.",
                )
        for port in (self.port, 0 if self.grpc_port is None else self.grpc_port):
            if not 0 <= port <= 65535:
                raise InputError(f"A port must be from 0 to 65535, and is {port}")
        if self.grpc_port and self.grpc_port == self.port:
            raise InputError(
                f"The port {self.port} is given for HTTP and for gRPC",
                fix="Give gRPC another one: Weaviate's is 50051.",
            )
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, and is {getattr(self, name)!r}")
        if self.keys is None and self.host not in LOOPBACK:
            raise InputError(
                f"A server on {self.host} can be reached from other machines",
                why="there are no keys, so anybody could use it",
                fix="Make one: secondpass keys create NAME --keys keys.json; then --keys.",
            )
