"""How a server is set up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondpass.errors import InputError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ABOVE_0 = (
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
    """What is served, to whom, and how much of it.

    - `models`: names or folders of rerankers, the first of which stands for every name that
      is not among them, unless `strict`: then such a name is not found (404).
    - `indexes`: folders of indexes that are searched, by name, the first of which is meant
      where a request names none; `data`: a folder for those that clients make, None where
      they may make none.
    - `exits`: whether models leave out what cannot be among as many as a request asks for.
    - `llm`: the language model of answers, such as "openai/gpt-5-mini"; without one answers
      are sentences of the passages.
    - `keys`: a file that `secondpass keys` wrote; without one no key is asked for, and only
      this machine is let in: `host` must be a loopback address then.
    - `max_documents` a request, `max_body` bytes, `max_depth` of nested JSON.
    - `most_waiting`: tokens of requests that may wait; beyond it the answer is 429.
    - `grpc_port`: where clients of Weaviate's gRPC are listened to, 0 for any port; None for
      nowhere.
    - `weaviate_open`: let requests of Weaviate's database in without a key, as it sends none.
    - `timeout`: seconds for a request, waiting included; `write_timeout`: for one that stores
      documents; `drain`: seconds for requests that
      are under way when the server is told to stop.
    - `header_timeout`, `body_timeout`: seconds in which the headers and the body of a request
      must arrive; `keep_alive`: how long a connection may be idle between requests, longer
      than a proxy in front keeps it.

    Raises InputError for what cannot be.
    """

    models: Sequence[str] = ("bundled",)
    indexes: Mapping[str, Path] = field(default_factory=dict)
    data: Path | None = None
    llm: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    keys: Path | None = None
    strict: bool = False
    exits: bool = False
    threads: int | None = None
    max_documents: int = 1000
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

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("There is no model to serve", fix="Name at least one.")
        for port in (self.port, 0 if self.grpc_port is None else self.grpc_port):
            if not 0 <= port <= 65535:
                raise InputError(f"A port must be from 0 to 65535, and is {port}")
        if self.grpc_port and self.grpc_port == self.port:
            raise InputError(
                f"The port {self.port} is given for HTTP and for gRPC",
                fix="Give gRPC another one: Weaviate's is 50051.",
            )
        for name in _ABOVE_0:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, and is {getattr(self, name)!r}")
        if self.keys is None and self.host not in LOOPBACK:
            raise InputError(
                f"A server on {self.host} can be reached from other machines",
                why="there are no keys, so anybody could use it",
                fix="Make one: secondpass keys create NAME --keys keys.json; then --keys.",
            )
