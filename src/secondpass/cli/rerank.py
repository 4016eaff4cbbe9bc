"""`secondpass rerank`: order the lines of a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from secondpass.cli import options
from secondpass.errors import InputError, ReadError


def rerank(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    file: Annotated[
        str, typer.Argument(help="One document a line, or JSONL; - is standard input.")
    ] = "-",
    top_k: options.TopK = None,
    min_score: options.MinScore = None,
    calibration: options.CalibrationFile = None,
    min_probability: options.MinProbability = None,
    model: options.Model = "bundled",
    fields: options.Fields = None,
    template: options.Template = None,
    max_length: options.MaxLength = None,
    passages: options.PassagesOption = "max",
    base_url: options.BaseUrl = None,
    chain: options.Chain = None,
    fallback: options.FallbackFlag = False,
    timeout: options.Timeout = None,
    budget_ms: options.BudgetMs = None,
    cascade: options.CascadeOption = False,
    cache: options.CacheOption = False,
    exits: options.ExitsOption = False,
    as_json: options.AsJson = False,
) -> None:
    """Order documents by their relevance to a query.

    Example:  printf 'Open the lid.\\nReset it in the settings.\\n' |
              secondpass rerank "How do I change my password?" --top-k 1
    """
    from secondpass.cli.output import print_json, print_response, response_object, working
    from secondpass.index.composition import second_pass

    documents = read_documents(file)
    with working(f"Reranking {len(documents)} documents"):
        reranker = second_pass(
            model,
            base_url=base_url,
            chain=options.split_names(chain) or (),
            fallback=fallback,
            timeout=timeout,
            budget_ms=budget_ms,
            cascade=cascade,
            cache=cache,
            exits=exits,
            calibration=calibration,
        )
        response = reranker.rerank(
            query,
            documents,
            top_k=top_k,
            min_score=min_score,
            min_probability=min_probability,
            fields=options.split_names(fields),
            template=template,
            max_length=max_length,
            passages=passages,
        )
    if as_json:
        print_json(response_object(response))
    else:
        print_response(response)


def read_documents(file: str) -> list[str | dict[str, Any]]:
    """Return the documents of a file or, for "-", of standard input.

    A file whose first line that is not empty is a JSON object is read as JSONL, and every line
    must then be one; else each line that is not empty is a document.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ReadError(
            "The file cannot be read",
            where=file,
            why=error.strerror,
            fix="Give a text or JSONL file, or - for standard input.",
        ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReadError(
            "The file is not UTF-8 text",
            where=file,
            why=f"byte {error.start} cannot be decoded",
        ) from error
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
