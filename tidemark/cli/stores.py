"""Stores as they are configured: what is in one, whether it is whole, and what waits for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape

from tidemark.cli.prefect_server import read_block
from tidemark.config import Config, load_config, read_text
from tidemark.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from tidemark.results.outbox import Label
    from tidemark.results.store import Store

__all__ = ["opened", "say_what_waits", "stores"]

FAILED = 1
PARTIAL = 3

stores = typer.Typer(help="Result stores, and what waits to be sent to one.", no_args_is_help=True)


def opened(uri: str, parameters: Mapping[str, str] | None = None) -> Store:
    """The store at a URI, with the configured options, credentials and outbox.

    `parameters` go before what is configured. Raises TidemarkError.
    """
    from tidemark.results.locations import parse_location
    from tidemark.results.options import over, sort_parameters
    from tidemark.results.store import open_store

    config = load_config(os.environ, Path.cwd())
    scheme = parse_location(uri).scheme
    configured = {**config.options_for(uri), **config.credentials_for(uri)}
    options, credentials = sort_parameters(scheme, over(scheme, configured, parameters or {}))
    return open_store(uri, options=options, credentials=_lent(credentials), outbox=config.outbox)


def _lent(credentials: Mapping[str, str]) -> dict[str, str] | None:
    """What opens a store, with what its references refer to here."""
    from tidemark.plan.secrets import resolve
    from tidemark.results.options import resolved

    return resolved(credentials, lambda ref: resolve(ref, os.environ, read_text, read_block))


def say_what_waits(uri: str, console: Console, parameters: Mapping[str, str] | None = None) -> None:
    """One line if results of this machine wait to be sent to a store."""
    waiting = opened(uri, parameters).waiting()
    if waiting.files:
        console.print(
            f"[yellow]note:[/] {_amount(waiting.files, waiting.size_bytes)} on this machine, not "
            f"yet in the store; when it answers: tidemark store send {escape(uri)}",
            soft_wrap=True,
        )


Where = Annotated[str | None, typer.Argument(help="A path or URI. Default: the configured store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@stores.command("ls")
def ls(store: Where = None, as_json: AsJson = False) -> None:
    """Show runs, cells by model and date, what waits to be judged, and how much room it takes."""
    from tidemark.cli.store_views import show_store

    show_store(opened(store or load_config(os.environ, Path.cwd()).store), as_json=as_json)


@stores.command("check")
def check(store: Where = None, as_json: AsJson = False) -> None:
    """Look whether parts are damaged or missing, without making anything again.

    Exit status: 0 whole, 1 something is torn. `tidemark verify` proves the numbers, too.
    """
    from tidemark.cli.store_views import check_store

    uri = store or load_config(os.environ, Path.cwd()).store
    raise typer.Exit(check_store(opened(uri), as_json=as_json))


@stores.command("compact")
def compact(
    store: Where = None,
    older_than: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="DAYS",
            help="Take also attempts of runs that never finished, once they are as old.",
        ),
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make many small parts into few large ones; every command answers as before.

    It may be ended at any instant, and done again. Readers of whole folders see rows twice between
    the writing of large parts and the removal of small ones: drop duplicates by cell_id,
    attempt_id and, of requests, request_idx. Exit status: 3 if some parts were left as they are.
    """
    from tidemark.cli.store_upkeep import compact_parts

    found = opened(store or load_config(os.environ, Path.cwd()).store)
    raise typer.Exit(
        compact_parts(found, older_than_days=older_than, dry_run=dry_run, as_json=as_json)
    )


@stores.command("copy")
def copy(
    source: Annotated[str, typer.Argument(help="The store to copy: a path or URI.")],
    destination: Annotated[str, typer.Argument(help="The store to copy it into.")],
    as_json: AsJson = False,
) -> None:
    """Copy all results of a store into another one; what is there already stays as it is.

    Each file is read back and compared. It may be ended at any instant, and done again. Exit
    status: 3 if some files were left, such as those that are there with other bytes.
    """
    from rich.console import Console

    from tidemark.cli.store_upkeep import copy_results

    status = copy_results(opened(source), opened(destination), as_json=as_json)
    say_what_waits(source, Console(stderr=True, highlight=False))
    raise typer.Exit(status)


@stores.command("kinds")
def kinds(
    kind: Annotated[
        str | None, typer.Argument(help="One of them, such as oss. Default: all, briefly.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what kinds of stores there are, what each guarantees and what it can be told."""
    from tidemark.cli.store_kinds import show_kinds

    show_kinds(kind, as_json=as_json)


@stores.command("send")
def send(
    store: Annotated[
        str | None, typer.Argument(help="A path or URI. Default: all that wait.")
    ] = None,
) -> None:
    """Send results that wait on this machine because their store took nothing."""
    from tidemark.results.locations import parse_location
    from tidemark.results.outbox import outbox_name, outboxes

    config = load_config(os.environ, Path.cwd())
    wanted = None if store is None else outbox_name(parse_location(store))
    labels, unreadable = outboxes(config.outbox)
    found = [label for label in labels if wanted in (None, label.uri)]
    if not found:
        typer.echo("nothing waits" if wanted is None else f"nothing waits for {wanted}")
    for left in unreadable:
        typer.echo(f"left {left.path}: {left.reason}", err=True)
    failed, partial = False, bool(unreadable)
    for label in found:
        try:
            sent = _store_of(label, config).send()
        except StoreError as error:
            typer.echo(f"not sent: {error}", err=True)
            failed = True
            continue
        partial |= bool(sent.left)
        typer.echo(f"{_amount(sent.files, sent.size_bytes)} sent to {label.uri}")
        for left in sent.left:
            typer.echo(f"left {left.path}: {left.reason}", err=True)
    raise typer.Exit(FAILED if failed else PARTIAL if partial else 0)


def _amount(files: int, size_bytes: int) -> str:
    return f"{files} file{'s' if files != 1 else ''} ({decimal(size_bytes)})"


def _store_of(label: Label, config: Config) -> Store:
    """The store something waits for: with the options configured now, if it is the same store."""
    from tidemark.results.outbox import outbox_folder
    from tidemark.results.store import open_store

    options = dict(label.options)
    configured = config.options_for(label.uri)
    if configured:
        endpoint = {name: options[name] for name in ("endpoint_url",) if name in options}
        now = {**endpoint, **configured}
        if outbox_folder(config.outbox, label.uri, now) == label.folder:
            options = now
    credentials = _lent(config.credentials_for(label.uri))
    found = open_store(label.uri, options=options, credentials=credentials, outbox=config.outbox)
    if found.outbox != label.folder.absolute():
        raise StoreError(
            "the environment or a profile names another endpoint than the one it waits for",
            label.uri,
            "Unset AWS_ENDPOINT_URL",
        )
    return found
