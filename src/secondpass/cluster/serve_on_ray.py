"""`secondpass serve --on ray`: shards and the application of a server, on Ray Serve."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondpass.cluster.autoscale import QueueLoad, scale_ingress, scale_shards
from secondpass.cluster.ray_runtime import cluster_address, ray_runtime
from secondpass.cluster.served_shards import ShardedIndexes
from secondpass.cluster.shard import Refusal, Shard, ShardPlan, shard_settings
from secondpass.errors import IndexNotFoundError, InputError, SecondpassError, nearest
from secondpass.index.storage.objects import is_url, open_objects
from secondpass.index.storage.versions import PublishedVersions
from secondpass.retrieve.settings import read_settings
from secondpass.server.scheduler.scheduled_models import Ticket, use_ticket
from secondpass.server.serve import check_port
from secondpass.server.settings import LOOPBACK, ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = logging.getLogger("secondpass.server")
APPLICATION = "secondpass"
"""The name of the application in Ray Serve."""
# How many calls of a replica may be under way: its own queue decides which come first.
_CALLS_OF_SHARD = 64
_CALLS_OF_INGRESS = 200
# Beside Ray's own processes on a machine that is shared.
_SHARE_OF_CPU = 0.1
_HEALTH_PERIOD, _HEALTH_TIMEOUT = 5.0, 15.0
_SHARD_THREADS = 32
_CHECK_THREADS = 4


@dataclass(frozen=True, slots=True)
class RayOptions:
    """How a server runs on Ray.

    - `shards`: into how many parts the reading of each index is split, at least 1.
    - `replicas`: how many copies there are of each shard, and of what answers HTTP; two numbers
      are the least and the most, between which Ray adds copies while work waits.
    - `scale_delays`: for how many seconds there must be too few copies before one is added, and
      too many before one is taken away.
    - `address`: of the head of a Ray cluster; None for RAY_ADDRESS, or else a Ray that is
      started on this machine.
    - `shard_timeout`: seconds that a search waits for a shard, above 0.

    Raises InputError for values out of range.
    """

    shards: int = 1
    replicas: tuple[int, int] = (1, 1)
    address: str | None = None
    shard_timeout: float = 10.0
    scale_delays: tuple[float, float] = (30.0, 600.0)

    def __post_init__(self) -> None:
        if self.shards < 1:
            raise InputError(
                f"--shards cannot be {self.shards}", fix="Give a whole number from 1 up."
            )
        least, most = self.replicas
        if least < 1 or most < least:
            raise InputError(
                f"--replicas cannot be {least}:{most}",
                fix="Give a number from 1 up, or MIN:MAX with MAX no less than MIN.",
            )
        if not self.shard_timeout > 0:
            raise InputError(f"--shard-timeout must be above 0, and is {self.shard_timeout}")
        if not all(0 <= seconds < math.inf for seconds in self.scale_delays):
            up, down = self.scale_delays
            raise InputError(
                f"--scale-delays cannot be {up:g}:{down:g}", fix="Give seconds from 0 up."
            )


def parse_replicas(text: str) -> tuple[int, int]:
    """Return the least and the most replicas of "M" or "MIN:MAX"; raises InputError."""
    least, colon, most = text.partition(":")
    try:
        return int(least), int(most if colon else least)
    except ValueError:
        raise InputError(
            f"--replicas cannot be {text!r}", fix="Give a number, such as 2, or MIN:MAX."
        ) from None


def parse_scale_delays(text: str) -> tuple[float, float]:
    """Return the two numbers of seconds of "UP:DOWN"; raises InputError."""
    up, _, down = text.partition(":")
    try:
        return float(up), float(down)
    except ValueError:
        raise InputError(
            f"--scale-delays cannot be {text!r}", fix="Give two numbers, such as 30:600."
        ) from None


def check_for_ray(settings: ServerSettings) -> None:
    """Raise InputError for what a server on Ray cannot do, and where an index is not there."""
    if settings.grpc_port is not None:
        raise InputError(
            "--grpc-port cannot be used with --on ray",
            why="Weaviate's gRPC service runs in the process of its HTTP server, and on Ray "
            "there are several of those behind one port, which passes on HTTP",
            fix="Leave it out, or serve Weaviate's clients without --on ray.",
        )
    if settings.data is not None:
        raise InputError(
            "--data cannot be used with --on ray",
            why="indexes that clients create are in a folder of one process",
            fix="Leave it out, and make indexes with: secondpass index FILES --index PLACE",
        )
    if not settings.indexes:
        raise InputError(
            "There is no index to search with --on ray",
            fix="Name one: --index NAME=FOLDER, or NAME=s3://BUCKET/PREFIX.",
        )
    for place in settings.indexes.values():
        _check_index(place)


def _check_index(place: str | Path) -> None:
    if not (isinstance(place, str) and is_url(place)):
        read_settings(Path(place))
        return
    objects = open_objects(place)
    if PublishedVersions(objects).current() is None:
        raise IndexNotFoundError(
            "there is no index",
            where=objects.url,
            fix=f"Make one first: secondpass index FILES --index {objects.url}",
        )


class ShardReplica:
    """One process of a shard, as Ray Serve runs it: see `Shard` for its methods."""

    def __init__(self, plan: ShardPlan, log_level: str, alone: bool) -> None:
        self._stack = _prepare(log_level, alone)
        self._threads = ThreadPoolExecutor(_SHARD_THREADS, "secondpass-shard")
        # Their own, so that a shard with much to do does not seem ill.
        self._checks = ThreadPoolExecutor(_CHECK_THREADS, "secondpass-check")
        self.shard = Shard(plan)
        self._load = QueueLoad(self.shard.queue)

    async def call(self, method: str, arguments: Sequence[Any]) -> Any:
        """Run a method in a thread; errors of the package are returned as a `Refusal`.

        A caller that is gone frees its place in the queue.
        """
        ticket = Ticket()
        function = functools.partial(_refusing, ticket, getattr(self.shard, method), arguments)
        try:
            return await self._run(
                self._checks if method == "status" else self._threads, function
            )
        except asyncio.CancelledError:
            ticket.cancel()
            raise

    async def check_health(self) -> None:
        """Read a pair: Ray Serve replaces a process that raises here, or does not answer."""
        await self._run(self._checks, self.shard.check_health)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return what Ray Serve asks for to decide how many copies there are."""
        return self._load.read()

    def _run(self, threads: ThreadPoolExecutor, function: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(threads, function)


def _refusing(ticket: Ticket, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    try:
        with use_ticket(ticket):
            return function(*arguments)
    except SecondpassError as error:
        return Refusal.of(error)


class RayTransport:
    """Sends calls to shards through Ray Serve, which chooses the least busy replica."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self._handles = handles

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return len(self._handles)

    async def send(self, shard: int, method: str, arguments: Sequence[Any]) -> Any:
        """Call a method of a replica of the shard."""
        response = self._handles[shard].call.remote(method, arguments)
        try:
            return await response
        except asyncio.CancelledError:
            # Else the replica goes on with what nobody waits for.
            response.cancel()
            raise


class Ingress:
    """One process that answers HTTP: the application of a server over all shards."""

    def __init__(
        self,
        settings: ServerSettings,
        options: RayOptions,
        log_level: str,
        otel: bool | None,
        handles: Sequence[Any],
    ) -> None:
        self._stack = _prepare(log_level, options.address is None)
        self._settings, self._options, self._handles = settings, options, handles
        self._otel = otel

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the application."""
        from secondpass.server.app import create_app
        from secondpass.server.telemetry.tracing_settings import make_traces

        indexes = ShardedIndexes(
            RayTransport(self._handles),
            timeout=self._options.shard_timeout,
            replicas=self._options.replicas[1],
        )
        return create_app(self._settings, traces=make_traces(self._otel), elsewhere=indexes)


def _prepare(log_level: str, alone: bool) -> ExitStack:
    """Write the log of this process as lines of JSON on standard error, which Ray passes on.

    On a machine `alone` its ports stay on the loopback interface.
    """
    from secondpass.server.telemetry.logs import configure_logging

    if alone:
        _listen_on_loopback()

    stack = ExitStack()
    stack.enter_context(configure_logging("json", log_level))
    return stack


def _listen_on_loopback() -> None:
    """Let the port for calls of other machines, which Serve opens next, be a local one.

    Serve opens it on all interfaces, whoever connects can have code run, and no setting says
    otherwise.
    """
    from ray.serve._private import replica as serve_replica

    replica: Any = serve_replica

    add = getattr(replica, "add_port_to_grpc_server", None)
    if add is None:
        _log.warning("Ray Serve may listen on all interfaces: it is of another version")
        return

    def add_on_loopback(server: Any, address: str) -> Any:
        return add(server, address.replace("[::]:", "127.0.0.1:"))

    replica.add_port_to_grpc_server = add_on_loopback


def make_application(
    settings: ServerSettings,
    options: RayOptions,
    *,
    nodes: int = 1,
    log_level: str = "info",
    otel: bool | None = None,
) -> Any:
    """Return the application of Ray Serve: a deployment for each shard, and one for HTTP.

    `nodes`: how many machines there are; copies of a shard are on different ones.
    """
    from ray import serve

    # Ray's types say that a deployment of a class is a function.
    deployment: Any = serve.deployment
    threads, share = _threads(settings, options), _SHARE_OF_CPU
    if options.address is not None:
        share = float(threads)
    reading = replace(shard_settings(settings), threads=threads)
    spread = _spread(options, nodes)
    of_shard: dict[str, Any] = {"num_replicas": options.replicas[0]}
    of_ingress = of_shard
    if options.replicas[0] < options.replicas[1]:
        of_shard = scale_shards(options.replicas, options.scale_delays)
        of_ingress = scale_ingress(options.replicas, options.scale_delays)

    def actor(cpus: float) -> dict[str, Any]:
        # Ray sets this to 1 for a process with a share of a CPU.
        return {
            "num_cpus": cpus,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(threads)}},
        }

    shards = [
        deployment(
            ShardReplica,
            name=f"shard-{shard}",
            ray_actor_options=actor(share),
            max_ongoing_requests=_CALLS_OF_SHARD,
            health_check_period_s=_HEALTH_PERIOD,
            health_check_timeout_s=_HEALTH_TIMEOUT,
            graceful_shutdown_timeout_s=settings.drain,
            **spread,
            **of_shard,
        ).bind(
            ShardPlan(shard, options.shards, settings.indexes, reading),
            log_level,
            options.address is None,
        )
        for shard in range(options.shards)
    ]
    # Behind Serve's proxy, which is what other machines reach.
    behind = replace(settings, threads=threads)
    return deployment(
        serve.ingress()(Ingress),
        name="ingress",
        ray_actor_options=actor(_SHARE_OF_CPU),
        max_ongoing_requests=_CALLS_OF_INGRESS,
        graceful_shutdown_timeout_s=settings.drain,
        **spread,
        **of_ingress,
    ).bind(behind, options, log_level, otel, shards)


def build(args: Mapping[str, Any]) -> Any:
    """Return the application for `serve deploy` and for KubeRay, from the `args` of its file.

    They are fields of `ServerSettings` and of `RayOptions`; `replicas` is a text, "M" or
    "MIN:MAX", and so is `scale_delays`, "UP:DOWN". Ray itself says where HTTP is, so `keys` are
    needed. Raises InputError for unknown fields, and for what cannot be served.
    """
    given = dict(args)
    if "replicas" in given:
        given["replicas"] = parse_replicas(str(given["replicas"]))
    if "scale_delays" in given:
        given["scale_delays"] = parse_scale_delays(str(given["scale_delays"]))
    for name in ("keys", "calibration_pairs"):
        if given.get(name) is not None:
            given[name] = Path(given[name])
    of_ray = {field.name for field in fields(RayOptions)} - {"address"}
    of_server = {field.name for field in fields(ServerSettings)} - {"host", "port"}
    for name in given:
        if name not in of_ray | of_server:
            raise InputError(
                f"args has an unknown field {name!r}", fix=nearest(name, of_ray | of_server)
            )
    settings = ServerSettings(
        host="0.0.0.0", **{name: given[name] for name in given.keys() & of_server}
    )
    options = RayOptions(
        address="auto", **{name: given[name] for name in given.keys() & of_ray}
    )
    check_for_ray(settings)
    return make_application(settings, options, nodes=_count_nodes())


def _count_nodes() -> int:
    import ray as ray_module

    # Not all of it has types.
    ray: Any = ray_module
    return sum(bool(node["Alive"]) for node in ray.nodes())


def _threads(settings: ServerSettings, options: RayOptions) -> int:
    """Return the threads of a shard's models: the CPUs of this machine shared by all shards."""
    if settings.threads is not None:
        return settings.threads
    if options.address is not None:
        return 1
    return max(1, (os.cpu_count() or 1) // (options.shards * options.replicas[0]))


def _spread(options: RayOptions, nodes: int) -> dict[str, Any]:
    # Else one machine may have all copies of a shard, and take them with it.
    most = options.replicas[1]
    return {"max_replicas_per_node": math.ceil(most / nodes)} if nodes > 1 else {}


def start(
    settings: ServerSettings,
    options: RayOptions,
    *,
    log_level: str = "info",
    otel: bool | None = None,
) -> str:
    """Start the application on the Ray that this process is connected to; return its address.

    Raises InputError where it cannot be started.
    """
    from ray import serve

    # What it says is about itself; what is ready is logged below.
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    port = settings.port or _free_port(settings.host)
    everywhere = settings.host not in LOOPBACK
    serve.start(
        proxy_location="EveryNode" if everywhere else "HeadOnly",
        http_options={
            "host": settings.host,
            "port": port,
            "keep_alive_timeout_s": settings.keep_alive,
        },
        logging_config=_SERVE_LOGGING,
    )
    application = make_application(
        settings, options, nodes=_count_nodes(), log_level=log_level, otel=otel
    )
    try:
        serve.run(
            application, name=APPLICATION, route_prefix="/", logging_config=_SERVE_LOGGING
        )
    except RuntimeError as error:
        raise InputError(
            "The server could not start on Ray",
            why=_last_line(str(error)),
            fix="See the lines of its processes above.",
        ) from error
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}"


_SERVE_LOGGING = {"enable_access_log": False, "log_level": "WARNING"}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it gave no reason"


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def run_on_ray(
    settings: ServerSettings,
    options: RayOptions,
    *,
    log: str | None = None,
    log_level: str = "info",
    otel: bool | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve on Ray until SIGTERM or SIGINT; the arguments are those of `serve.run`.

    Raises InputError for what cannot be served so, and where Ray cannot be used, and
    MissingExtraError without the extra `ray`.
    """
    from secondpass.server.telemetry.logs import configure_logging

    check_for_ray(settings)
    options = replace(options, address=cluster_address(options.address))
    if settings.port and options.address is None:
        check_port(settings.host, settings.port)
    stopped = threading.Event()
    with configure_logging(log, log_level), ray_runtime(options.address, logs=True) as runtime:
        from ray import serve as ray_serve

        # Not all of it has types.
        serve: Any = ray_serve
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        try:
            address = start(settings, options, log_level=log_level, otel=otel)
            fields = {"url": address, "shards": options.shards, "replicas": options.replicas}
            _log.info("ready", extra={"fields": fields})
            if on_start is not None:
                on_start(address)
            stopped.wait()
        finally:
            if runtime.own:
                serve.shutdown()
            else:
                serve.delete(APPLICATION)
