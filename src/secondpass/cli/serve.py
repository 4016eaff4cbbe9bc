"""`secondpass serve`: the HTTP server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

import typer

from secondpass.cli import options
from secondpass.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")


def serve(
    model: options.ServedModels = None,
    index: options.ServedIndexes = None,
    over: options.ServedDatabases = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for indexes that clients create."),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Language model that writes answers, such as openai/gpt-5-mini; if absent, "
            "answers are sentences of the passages."
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; addresses beyond this machine need --keys."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8080,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            help="Port of Weaviate's gRPC API, usually 50051; 0 for any free port.",
            show_default="off",
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="API keys that clients may use: a file of `secondpass keys`."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Answer 404 to unknown model names.")
    ] = False,
    weaviate_open: Annotated[
        bool,
        typer.Option(
            "--weaviate-open", help="Allow requests of Weaviate clients without a key."
        ),
    ] = False,
    rescore: Annotated[
        bool,
        typer.Option(
            "--rescore/--no-rescore",
            help="Read the first results of searches again by the model that goes with the "
            "default one (bundled-full with bundled), where a request does not say.",
        ),
    ] = True,
    early_exit: Annotated[
        bool,
        typer.Option(
            "--early-exit",
            "--exits",
            help="Stop reading candidates that cannot be among the requested number of results "
            "(precomputed rerankers).",
        ),
    ] = False,
    precision: options.PrecisionOption = None,
    calibration_pairs: options.CalibrationPairs = None,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Cache scores in a file, or in a Redis that servers share, as in "
            "redis://HOST:6379/0 (password in REDIS_PASSWORD).",
            show_default="off",
        ),
    ] = None,
    threads: options.Threads = None,
    max_documents: Annotated[
        int, typer.Option(help="Maximum documents of a request.")
    ] = 10_000,
    max_body: Annotated[
        int, typer.Option(help="Maximum bytes of a request body.")
    ] = 20_000_000,
    most_waiting: Annotated[
        int, typer.Option(help="Maximum tokens queued for a tenant; beyond it 429.")
    ] = 1_000_000,
    timeout: Annotated[
        float, typer.Option(help="Seconds for a request, queueing included.")
    ] = 30.0,
    header_timeout: Annotated[
        float, typer.Option(help="Seconds for the headers of a request to arrive.")
    ] = 10.0,
    body_timeout: Annotated[
        float, typer.Option(help="Seconds for the body of a request to arrive; beyond it 408.")
    ] = 60.0,
    keep_alive: Annotated[
        int, typer.Option(help="Seconds to keep an idle connection; set it above the proxy's.")
    ] = 75,
    drain: Annotated[
        float, typer.Option(help="Seconds for requests in progress to finish at shutdown.")
    ] = 20.0,
    on: options.On = None,
    shards: Annotated[
        int | None,
        typer.Option(help="Into how many parts reading is split, on Ray.", show_default="1"),
    ] = None,
    replicas: Annotated[
        str | None,
        typer.Option(
            metavar="M|MIN:MAX",
            help="Copies of each shard and of what answers HTTP, on Ray; MIN:MAX adds copies "
            "while work waits.",
            show_default="1",
        ),
    ] = None,
    scale_delays: Annotated[
        str | None,
        typer.Option(
            metavar="UP:DOWN",
            help="With --replicas MIN:MAX: for how many seconds there must be too few copies "
            "before one is added, and too many before one is taken away.",
            show_default="30:600",
        ),
    ] = None,
    address: options.RayAddress = None,
    shard_timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds that a search waits for a shard, on Ray; beyond it the shard's "
            "candidates stay unread.",
            show_default="10",
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            help="Log format on standard error: json, text or off.",
            show_default="text on a terminal, else json",
        ),
    ] = None,
    log_level: Annotated[
        str, typer.Option(help="Log level: debug, info, warning or error.")
    ] = "info",
    otel: Annotated[
        bool | None,
        typer.Option(
            "--otel/--no-otel",
            help="Send traces by OTLP over HTTP, to OTEL_EXPORTER_OTLP_ENDPOINT.",
            show_default="on if OTEL_* variables configure it",
        ),
    ] = None,
) -> None:
    """Serve search and reranking to clients of Cohere, Weaviate, OpenAI and others.

    Point a client's base URL at the server, such as http://127.0.0.1:8080 for Cohere's.

    Example:  secondpass serve --model bundled --port 8080
    """
    from secondpass.cli.output import hide_model_messages
    from secondpass.server.serve import run
    from secondpass.server.settings import ServerSettings

    # Standard error is the log, which has them too.
    hide_model_messages()
    settings = ServerSettings(
        models=model if model else ["bundled"],
        indexes=parse_index_options(index or []),
        databases=parse_database_options(over or []),
        data=data,
        llm=llm,
        host=host,
        port=port,
        grpc_port=grpc_port,
        keys=keys,
        strict=strict,
        weaviate_open=weaviate_open,
        rescore=rescore,
        exits=early_exit,
        precision=precision,
        calibration_pairs=calibration_pairs,
        cache=cache,
        threads=threads,
        max_documents=max_documents,
        max_body=max_body,
        most_waiting=most_waiting,
        timeout=timeout,
        header_timeout=header_timeout,
        body_timeout=body_timeout,
        keep_alive=keep_alive,
        drain=drain,
    )
    on_ray = {
        "shards": shards,
        "replicas": replicas,
        "scale_delays": scale_delays,
        "address": address,
        "shard_timeout": shard_timeout,
    }
    given: dict[str, Any] = {name: value for name, value in on_ray.items() if value is not None}
    options.check_on(on)
    if on is None:
        for name in given:
            raise InputError(
                f"--{name.replace('_', '-')} is for a server on Ray", fix="Add --on ray."
            )
        run(settings, log=log, log_level=log_level, otel=otel)
        return
    from secondpass.cluster.serve_on_ray import (
        RayOptions,
        parse_replicas,
        parse_scale_delays,
        run_on_ray,
    )

    if replicas is not None:
        given["replicas"] = parse_replicas(replicas)
    if scale_delays is not None:
        given["scale_delays"] = parse_scale_delays(scale_delays)
    run_on_ray(settings, RayOptions(**given), log=log, log_level=log_level, otel=otel)


def parse_index_options(values: list[str]) -> dict[str, str | Path]:
    """Return index folders and URLs by name, of options NAME=PLACE or PLACE.

    A URL without a name has that of the last part of its prefix. Raises InputError for a name
    that occurs twice, and a URL whose name cannot be in the path of a request.
    """
    from secondpass.index.storage.objects import is_url, parse_place

    places: dict[str, str | Path] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        named = bool(equals) and not is_url(name)
        place = parse_place(rest if named else value)
        if isinstance(place, str):
            name = name if named else urlsplit(place).path.rstrip("/").rpartition("/")[2]
            if not _NAME.fullmatch(name):
                raise InputError(
                    f"an index in object storage cannot be served as {name!r}",
                    why="a name has letters, digits, - and _",
                    fix="Name it: --index NAME=URL.",
                )
        elif not named:
            name = place.resolve().name
        if name in places:
            raise InputError(
                f"There are two indexes {name!r}",
                fix="Name them: --index NAME=FOLDER or NAME=URL.",
            )
        places[name] = place
    return places


def parse_database_options(values: list[str]) -> dict[str, str]:
    """Return URLs of databases by name, of options NAME=URL or URL.

    A URL without a name has that of its table, or of its file or path. Raises InputError for
    what is no URL, a name that occurs twice, and one that cannot be in the path of a request.
    """
    from secondpass.retrieve.backends.database_url import TABLE_WORDS

    urls: dict[str, str] = {}
    for value in values:
        name, equals, url = value.partition("=")
        if not equals or "://" in name:
            parts = urlsplit(value)
            given = dict(parse_qsl(parts.query))
            tables = [given[word] for word in TABLE_WORDS if word in given]
            name, url = tables[0] if tables else Path(parts.path).stem, value
        if "://" not in url:
            raise InputError(
                "--over names no database",
                fix="Give --over NAME=URL, such as docs=sqlite:///file.db?table=docs.",
            )
        if not _NAME.fullmatch(name):
            raise InputError(
                f"a database cannot be served as {name!r}",
                why="a name has letters, digits, - and _",
                fix="Name it: --over NAME=URL.",
            )
        if name in urls:
            raise InputError(
                f"There are two databases {name!r}", fix="Name them: --over NAME=URL."
            )
        urls[name] = url
    return urls
