"""`secondpass ui`: the page that shows rankings, in the browser."""

from __future__ import annotations

import os
import sys
import threading
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli import options
from secondpass.errors import InputError

_SAMPLE = "sample"
_MODELS = ("bundled", "bundled-tiny")


def ui(
    index: options.ServedIndexes = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Reranker to choose from; the first one is the default.",
            show_default=" ".join(_MODELS),
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder for indexes that are created on the page.",
            show_default="~/.local/share/secondpass/indexes",
        ),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Language model that writes answers, such as openai/gpt-5-mini; if absent, "
            "answers are sentences of the passages."
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free port.")] = 8080,
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Whether to open a browser."),
    ] = True,
) -> None:
    """Show rankings before and after the second pass, on a page in the browser.

    Without --index it searches a sample of Wikipedia, which is indexed at the first start. Only
    this machine can open the page; `secondpass serve` has it too, at /ui.

    Example:  secondpass ui --index my-index
    """
    from secondpass.cli.output import hide_model_messages
    from secondpass.cli.serve import parse_index_options
    from secondpass.server.serve import check_port, run
    from secondpass.server.settings import ServerSettings
    from secondpass.server.web.routes import is_built
    from secondpass.storage import user_data

    if not is_built():
        raise InputError(
            "This installation has no page",
            why="it was built without secondpass/server/web/static",
            fix="Install a release, or in a checkout run: make ui",
        )
    places = parse_index_options(index or [])
    # Before an index is made or models are loaded, which takes a while.
    settings = ServerSettings(
        models=model if model else list(_MODELS),
        indexes=places,
        data=user_data() / "indexes" if data is None else data,
        llm=llm,
        port=port,
    )
    check_port(settings.host, port)
    _check_indexes(places)
    if not places:
        settings = replace(settings, indexes={_SAMPLE: _index_sample()})
    hide_model_messages()
    run(
        settings,
        log="text",
        log_level="warning",
        on_start=lambda url: _announce(f"{url}/ui", list(settings.indexes), browser),
    )


def sample_corpus() -> Path:
    """Return the folder of the sample: of a release, or of a checkout.

    Raises InputError where the package was built without it.
    """
    import secondpass

    package = Path(secondpass.__file__).parent
    for folder in (package / _SAMPLE, package.parents[1] / "examples" / "wikipedia"):
        if (folder / "corpus.jsonl").is_file():
            return folder
    raise InputError(
        "The sample is not part of this installation",
        fix="Name an index: secondpass ui --index FOLDER. To make one: "
        "secondpass index FILES --index FOLDER",
    )


def _check_indexes(places: dict[str, str | Path]) -> None:
    for folder in places.values():
        # One at a URL is looked for by the server.
        if isinstance(folder, Path) and not folder.is_dir():
            raise InputError(
                "There is no index",
                where=str(folder),
                fix=f"Make it: secondpass index FILES --index {folder}; or leave --index out "
                "to see the sample.",
            )


def _index_sample() -> Path:
    """Index the sample in the user's cache, where it is not there yet; return the folder."""
    import secondpass
    from secondpass.cli.output import counting
    from secondpass.evaluate.query_sets import keep_queries
    from secondpass.index.index import Index
    from secondpass.retrieve.backends.lance.open import open_index
    from secondpass.retrieve.chunking import CHUNK_TOKENS, OVERLAP
    from secondpass.retrieve.embedder import Embedder
    from secondpass.retrieve.ingest import ingest
    from secondpass.retrieve.ingest_report import IngestProgress
    from secondpass.storage import user_cache

    corpus = sample_corpus()
    # Another release may embed otherwise, or have another sample.
    content = zlib.crc32((corpus / "corpus.jsonl").read_bytes())
    folder = user_cache() / f"sample-{secondpass.__version__}-{content:08x}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    finished = folder.with_name(f"{folder.name}.complete")
    if finished.is_file() and folder.is_dir():
        return folder
    typer.echo(f"Indexing the sample, once, in {folder}", err=True)
    embedder = Embedder()
    store = open_index(folder, embedder, chunk_tokens=CHUNK_TOKENS, overlap=OVERLAP)
    with Index(store, embedder) as opened, counting("Indexing", "documents") as update:

        def show(state: IngestProgress) -> None:
            update(state.documents, state.total)

        ingest(
            [corpus],
            store,
            opened.ingest_embedder(),
            chunk_tokens=CHUNK_TOKENS,
            overlap=OVERLAP,
            progress=show,
        )
    keep_queries(corpus, folder, _SAMPLE)
    finished.touch()
    return folder


def _announce(url: str, indexes: Sequence[str], browser: bool) -> None:
    typer.echo(f"The page shows {', '.join(indexes)}: {url}")
    typer.echo("Ctrl-C ends it.", err=True)
    if not browser:
        return
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        # What is found without a display runs in this terminal.
        typer.echo("There is no display here: open the address in a browser.", err=True)
        return
    threading.Thread(target=_open_browser, args=(url,), daemon=True).start()


def _open_browser(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        typer.echo("No browser could be started: open the address in one.", err=True)
