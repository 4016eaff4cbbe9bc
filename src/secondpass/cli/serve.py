"""`secondpass serve`: the second pass behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli import options
from secondpass.errors import InputError


def serve(
    model: options.ServedModels = None,
    index: options.ServedIndexes = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A folder for the indexes that clients make."),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(help="What writes answers, such as openai/gpt-5-mini; else sentences."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="The address to listen at; others than this machine need --keys."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen at; 0 for any.")] = 8080,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            help="Where clients of Weaviate's gRPC ask, as a rule 50051; 0 for any port.",
            show_default="nowhere",
        ),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="A file of `secondpass keys`: who may use it.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Answer 404 to models that are not served.")
    ] = False,
    weaviate_open: Annotated[
        bool,
        typer.Option("--weaviate-open", help="Let Weaviate's requests in without a key."),
    ] = False,
    exits: Annotated[
        bool,
        typer.Option(
            "--exits",
            help="Do not read what cannot be among as many as are asked for (readers only).",
        ),
    ] = False,
    threads: options.Threads = None,
    max_documents: Annotated[int, typer.Option(help="Documents a request.")] = 1000,
    max_body: Annotated[int, typer.Option(help="Bytes a request.")] = 20_000_000,
    most_waiting: Annotated[
        int, typer.Option(help="Tokens that may wait; beyond it the answer is 429.")
    ] = 1_000_000,
    timeout: Annotated[float, typer.Option(help="Seconds a request, waiting included.")] = 30.0,
    header_timeout: Annotated[
        float, typer.Option(help="Seconds in which the headers of a request must arrive.")
    ] = 10.0,
    body_timeout: Annotated[
        float, typer.Option(help="Seconds in which its body must arrive; beyond it 408.")
    ] = 60.0,
    keep_alive: Annotated[
        int, typer.Option(help="Seconds an idle connection is kept; more than a proxy does.")
    ] = 75,
    drain: Annotated[
        float, typer.Option(help="Seconds for requests under way when it is told to stop.")
    ] = 20.0,
    log: Annotated[
        str | None,
        typer.Option(
            help="Lines on standard error: json, text or off.",
            show_default="text on a terminal, else json",
        ),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    otel: Annotated[
        bool | None,
        typer.Option(
            "--otel/--no-otel",
            help="Send traces by OTLP over HTTP; OTEL_EXPORTER_OTLP_ENDPOINT says where to.",
            show_default="if OTEL_* variables say so",
        ),
    ] = None,
) -> None:
    """Serve search and the second pass to clients of Cohere, Weaviate, OpenAI and others.

    Point a client's base URL at it, such as http://127.0.0.1:8080 for Cohere's.

    Example:  secondpass serve --model bundled --port 8080
    """
    from secondpass.server.serve import run
    from secondpass.server.settings import ServerSettings

    run(
        ServerSettings(
            models=model if model else ["bundled"],
            indexes=named_folders(index or []),
            data=data,
            llm=llm,
            host=host,
            port=port,
            grpc_port=grpc_port,
            keys=keys,
            strict=strict,
            weaviate_open=weaviate_open,
            exits=exits,
            threads=threads,
            max_documents=max_documents,
            max_body=max_body,
            most_waiting=most_waiting,
            timeout=timeout,
            header_timeout=header_timeout,
            body_timeout=body_timeout,
            keep_alive=keep_alive,
            drain=drain,
        ),
        log=log,
        log_level=log_level,
        otel=otel,
    )


def named_folders(given: list[str]) -> dict[str, Path]:
    """Return indexes by name, of options NAME=FOLDER or FOLDER.

    Raises InputError for two of one name.
    """
    found: dict[str, Path] = {}
    for one in given:
        name, equals, folder = one.partition("=")
        path = Path(folder if equals else one)
        name = name if equals else path.resolve().name
        if name in found:
            raise InputError(
                f"There are two indexes {name!r}", fix="Name them: --index NAME=FOLDER."
            )
        found[name] = path
    return found
