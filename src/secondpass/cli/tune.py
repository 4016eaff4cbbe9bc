"""`secondpass tune`: the best search under a limit of time, as a configuration file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondpass.cli import measured, options
from secondpass.evaluate.defaults import DEPTHS

if TYPE_CHECKING:
    from secondpass.evaluate.tuning import Tuned


def tune(
    index: options.IndexFolder,
    queries: measured.Queries,
    qrels: measured.Qrels = None,
    out: Annotated[Path, typer.Option(help="The configuration file to write.")] = Path(
        "secondpass.toml"
    ),
    max_latency_ms: Annotated[
        float | None,
        typer.Option(help="The longest that a search may take here, as a median."),
    ] = None,
    maximise: Annotated[str, typer.Option(help="As ir-measures names it.")] = "nDCG@10",
    models: measured.Models = ["bundled"],  # noqa: B006 - typer copies it
    depths: measured.Depths = list(DEPTHS),  # noqa: B006
    split: measured.Split = "test",
    limit: measured.Limit = None,
    as_json: options.AsJson = False,
) -> None:
    """Choose mode, fusion, weights, model, blend and candidates on judged queries.

    What it promises is measured on queries that neither chose nor fitted anything (nested
    cross-validation); the higher figure by which it chose is printed beside it.

    Example:  secondpass tune --index my-index --queries queries.jsonl --qrels qrels.tsv
    --max-latency-ms 100 --maximise nDCG@10 --out secondpass.toml
    """
    from secondpass.cli.output import print_json
    from secondpass.cli.progress import stages
    from secondpass.configuration import Configuration
    from secondpass.errors import InputError
    from secondpass.evaluate.tuning import tune as choose
    from secondpass.pipeline import Index

    if not out.parent.is_dir():
        raise InputError("there is no such folder", where=str(out.parent))
    collection = measured.read(queries, qrels, split, limit)
    with Index.open(index, create=False) as opened, stages() as progress:
        found = choose(
            opened,
            collection,
            max_latency_ms=max_latency_ms,
            maximise=maximise,
            models=models,
            depths=depths,
            progress=progress,
        )
    written = Configuration(found.settings, _measured(found, collection.name))
    written.write(
        out, note=f"Written by secondpass tune. Use it: secondpass search --config {out}"
    )
    if as_json:
        print_json({"path": str(out), **asdict(found), "settings": dict(found.settings)})
    else:
        _print(found, out)


def _measured(found: Tuned, name: str) -> dict[str, Any]:
    return {
        "collection": name,
        "queries": found.queries,
        "measure": found.measure,
        "promised": round(found.promised, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "default": round(found.default, 4),
        "milliseconds": round(found.ms, 1),
    }


def _print(found: Tuned, out: Path) -> None:
    from secondpass.evaluate.verdict import plain, probability, signed

    over = found.over
    typer.echo(f"{found.label}: {plain(found.promised)} {found.measure}, {found.ms:.0f} ms")
    typer.echo(
        f"  promised   {plain(found.promised)} ({plain(found.low)} to {plain(found.high)}), on"
        " queries that chose and fitted nothing"
    )
    typer.echo(
        f"  chosen by  {plain(found.inner)}, the best of {found.tried} settings: too high"
    )
    typer.echo(
        f"  default    {plain(found.default)}; over it {signed(over.mean)} ±"
        f" {plain(over.margin)}, {probability(over.p)}"
    )
    different = sorted(set(found.picks))
    agreed = "all folds chose the same" if len(different) == 1 else "folds chose: "
    typer.echo(f"  {agreed}{'' if len(different) == 1 else '; '.join(different)}")
    typer.echo(f"Written: {out}", err=True)
