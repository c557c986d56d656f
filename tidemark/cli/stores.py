"""Stores as they are configured, and what waits on this machine to be sent to one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemark.config import Config, load_config
from tidemark.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from tidemark.results.outbox import Label
    from tidemark.results.store import Store

__all__ = ["opened", "say_what_waits", "stores"]

FAILED = 1
PARTIAL = 3

stores = typer.Typer(help="Result stores, and what waits to be sent to one.", no_args_is_help=True)


def opened(uri: str) -> Store:
    """The store at a URI, with the configured options and outbox. Raises TidemarkError."""
    from tidemark.results.store import open_store

    config = load_config(os.environ, Path.cwd())
    return open_store(uri, options=config.options_for(uri), outbox=config.outbox)


def say_what_waits(uri: str, console: Console) -> None:
    """One line if results of this machine wait to be sent to a store."""
    waiting = opened(uri).waiting()
    if waiting.files:
        console.print(
            f"[yellow]note:[/] {waiting.files} files ({waiting.size_bytes / 1e6:.1f} MB) wait on "
            f"this machine for the store; when it answers: tidemark store send {uri}",
            soft_wrap=True,
        )


@stores.command("send")
def send(
    store: Annotated[
        str | None, typer.Argument(help="A path, file:// or s3://. Default: all that wait.")
    ] = None,
) -> None:
    """Send results that wait on this machine because their store took nothing."""
    from tidemark.results.locations import parse_location
    from tidemark.results.outbox import outboxes

    config = load_config(os.environ, Path.cwd())
    wanted = None if store is None else str(parse_location(store))
    found = [label for label in outboxes(config.outbox) if wanted in (None, label.uri)]
    if not found:
        typer.echo("nothing waits" if wanted is None else f"nothing waits for {wanted}")
    failed = partial = False
    for label in found:
        try:
            sent = _store_of(label, config).send()
        except StoreError as error:
            typer.echo(f"not sent: {error}", err=True)
            failed = True
            continue
        partial |= bool(sent.left)
        typer.echo(f"sent {sent.files} files ({sent.size_bytes / 1e6:.1f} MB) to {label.uri}")
        for left in sent.left:
            typer.echo(f"left {left.path}: {left.reason}", err=True)
    raise typer.Exit(FAILED if failed else PARTIAL if partial else 0)


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
    found = open_store(label.uri, options=options, outbox=config.outbox)
    if found.outbox != label.folder.absolute():
        raise StoreError(
            "the environment or a profile names another endpoint than the one it waits for",
            label.uri,
            "Unset AWS_ENDPOINT_URL",
        )
    return found
