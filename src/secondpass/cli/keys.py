"""`secondpass keys`: API keys of a server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from secondpass.cli import options

keys = typer.Typer(
    name="keys",
    help="Create, list and revoke the API keys of a server.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
File = Annotated[Path, typer.Option("--keys", help="Key file.")]
DEFAULT = Path("keys.json")


@keys.command(cls=options.Command)
def create(
    name: Annotated[
        str, typer.Argument(help="Name of the user or client.", show_default=False)
    ],
    file: File = DEFAULT,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="Scope: rerank, search, write or admin.", show_default="rerank, search"
        ),
    ] = None,
    tenant: Annotated[
        str, typer.Option(help="Tenant whose indexes the key can access.")
    ] = "default",
    per_minute: Annotated[
        int | None, typer.Option(help="Maximum requests per minute; no limit if absent.")
    ] = None,
    max_documents: Annotated[
        int | None,
        typer.Option(help="Maximum documents of a request; the server's limit if absent."),
    ] = None,
    max_body: Annotated[
        int | None,
        typer.Option(help="Maximum bytes of a request body; the server's limit if absent."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Create a key and print it, once: only its hash is stored.

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


@keys.command("list", cls=options.Command)
def list_keys(file: File = DEFAULT, as_json: options.AsJson = False) -> None:
    """List keys by id, with their names, tenants and scopes.

    Example:  secondpass keys list --keys keys.json
    """
    from secondpass.cli.output import print_json
    from secondpass.server.access.api_keys import KeyFile

    entries = KeyFile(file).entries()
    if as_json:
        objects = [{k: v for k, v in asdict(e).items() if k != "sha256"} for e in entries]
        print_json({"keys": objects})
        return
    for entry in entries:
        scopes = ", ".join(entry.scopes)
        typer.echo(f"{entry.id}  {entry.name}  ({entry.tenant}: {scopes}; {entry.created})")


@keys.command(cls=options.Command)
def revoke(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Id of the key.")],
    file: File = DEFAULT,
) -> None:
    """Revoke a key; running servers apply it within seconds.

    Example:  secondpass keys revoke 3f2a9c01 --keys keys.json
    """
    from secondpass.server.access.api_keys import KeyFile

    KeyFile(file).revoke(identifier)
    typer.echo(f"{identifier} is revoked", err=True)
