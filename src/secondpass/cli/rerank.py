"""`secondpass rerank`: rerank the documents of a file."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import options
from secondpass.cli.search_options import chosen_options, takes_options
from secondpass.errors import InputError, ReadError
from secondpass.option_types import declared
from secondpass.options import PolicyOptions, RerankOptions

if TYPE_CHECKING:
    from secondpass.rerank.base import BaseReranker
    from secondpass.types import Document


# Options of the model itself: with Ray, each actor loads it with them.
_LOADING = ("early_exit", "precision", "calibration_pairs")
_ONE_DOCUMENT = (".pdf", ".docx", ".pptx", ".html", ".htm")


class _Options(RerankOptions, PolicyOptions, total=False):
    """The library options of `secondpass rerank`."""


@takes_options(_Options)
def rerank(
    query: Annotated[str, typer.Argument(help="Query to rank for.")],
    file: Annotated[
        str,
        typer.Argument(
            help="Documents, one a line, JSONL, CSV, TSV or Parquet; - is standard input."
        ),
    ] = "-",
    model: options.Model = "bundled",
    base_url: options.BaseUrl = None,
    on: options.On = None,
    address: options.RayAddress = None,
    actors: options.Actors = None,
    as_json: options.AsJson = False,
    **typed: Any,
) -> None:
    """Rerank documents by their relevance to a query.

    Example:  printf 'Open the lid.\\nReset it in the settings.\\n' |
              secondpass rerank "How do I change my password?" --top-k 1
    """
    from secondpass.cli.output import (
        counting,
        print_json,
        print_response,
        response_object,
        working,
    )
    from secondpass.composition import compose
    from secondpass.registry import load_reranker

    chosen = chosen_options(_Options, typed)
    policies: Any = {name: chosen.pop(name) for name in declared(PolicyOptions)}
    documents = read_documents(file, chosen.get("fields"))
    if is_table(file):
        # Their text has been read from the fields already.
        chosen["fields"] = None
    with ExitStack() as stack:
        runtime = stack.enter_context(options.working_on(on, address, actors))
        loaded: str | BaseReranker = model
        if runtime is not None:
            from secondpass.cluster.bulk_rerank import ray_reranker

            update = stack.enter_context(counting("Reranking", "documents"))
            loading = {name: policies.pop(name) for name in _LOADING if name in policies}
            pooled = ray_reranker(
                runtime, model, actors=actors, progress=update, base_url=base_url, **loading
            )
            loaded = stack.enter_context(pooled)
        else:
            stack.enter_context(working(f"Reranking {len(documents)} documents"))
            if base_url is not None:
                loaded = load_reranker(model, base_url=base_url, timeout=policies["timeout"])
        response = compose(loaded, **policies).rerank(query, documents, **chosen)
    if as_json:
        print_json(response_object(response))
    else:
        print_response(response)


def is_table(file: str) -> bool:
    """Return whether a file is a table, by the end of its name."""
    return file.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".parquet"))


def read_documents(
    file: str, fields: Sequence[str] | None = None
) -> list[str | dict[str, Any] | Document]:
    """Return the documents of a file or, for "-", of standard input.

    Each row of a table is a document, whose text is that of `fields`, or found as at indexing.
    A file whose first non-empty line is a JSON object is read as JSONL, where every line must
    be one; otherwise each non-empty line is a document. Raises ReadError for a file that
    cannot be read, InputError for one that is no list, such as a PDF.
    """
    from secondpass.retrieve.loaders import SourceFile, read_file
    from secondpass.retrieve.loaders.base import decode_text

    suffix = Path(file).suffix.lower()
    if file != "-" and is_table(file):
        path = Path(file).absolute()
        return list(read_file(SourceFile(path, path.parent), fields))
    if file != "-" and suffix in _ONE_DOCUMENT:
        raise InputError(
            "The file is one document, and no list of them",
            where=file,
            fix=f"Search its passages: secondpass index {shlex.quote(file)}",
        )
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ReadError(
            "The file cannot be read",
            where=file,
            why=error.strerror,
            fix="Give a text or JSONL file, or - for standard input.",
        ) from error
    text = decode_text(data, Path("input.txt" if file == "-" else file))
    # str.splitlines would also break at form feeds and Unicode separators inside a text.
    lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines or not _is_object(lines[0][1]):
        return [line.rstrip("\r") for _, line in lines]
    return [_object(file, n, line) for n, line in lines]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _object(file: str, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise InputError(
            "A line is not JSON", where=f"{file}:{number}", why=str(error)
        ) from error
    if not isinstance(value, dict):
        raise InputError("A line is not a JSON object", where=f"{file}:{number}")
    return value
