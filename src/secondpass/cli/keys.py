"""`secondpass keys`: who may use a server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli import options

keys = typer.Typer(
    name="keys",
    help="Make, list and revoke the keys of a server.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
File = Annotated[Path, typer.Option("--keys", help="The file of the keys.")]
DEFAULT = Path("keys.json")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what it is for.", show_default=False)],
    file: File = DEFAULT,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="rerank, search, write or admin.", show_default="rerank, search"),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose indexes it sees.")] = "default",
    per_minute: Annotated[
        int | None, typer.Option(help="Requests a minute; no limit if absent.")
    ] = None,
    max_documents: Annotated[
        int | None, typer.Option(help="Documents a request; the server's limit if absent.")
    ] = None,
    max_body: Annotated[
        int | None, typer.Option(help="Bytes a request; the server's limit if absent.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a key and print it: it is stored as a hash, so this is the only time.

    Example:  secondpass keys create search-box --keys keys.json
    """
    from secondpass.cli.output import print_json
    from secondpass.server.access.api_keys import KeyFile

    key = KeyFile(file).create(
        name,
        scope if scope else ["rerank", "search"],
        tenant=tenant,
        per_minute=per_minute,
        max_documents=max_documents,
        max_body=max_body,
    )
    if as_json:
        print_json({"key": key, "file": str(file)})
    else:
        typer.echo(key)


@keys.command("list")
def listed(file: File = DEFAULT, as_json: options.AsJson = False) -> None:
    """List the keys, by id: who they are for and what they may.

    Example:  secondpass keys list --keys keys.json
    """
    from secondpass.cli.output import print_json
    from secondpass.server.access.api_keys import KeyFile

    entries = KeyFile(file).entries()
    if as_json:
        shown = [{k: v for k, v in asdict(e).items() if k != "sha256"} for e in entries]
        print_json({"keys": shown})
        return
    for entry in entries:
        scopes = ", ".join(entry.scopes)
        typer.echo(f"{entry.id}  {entry.name}  ({entry.tenant}: {scopes}; {entry.created})")


@keys.command()
def revoke(
    number: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")],
    file: File = DEFAULT,
) -> None:
    """Take a key back; a running server notices within seconds.

    Example:  secondpass keys revoke 3f2a9c01 --keys keys.json
    """
    from secondpass.server.access.api_keys import KeyFile

    KeyFile(file).revoke(number)
    typer.echo(f"{number} is revoked", err=True)
