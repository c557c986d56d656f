"""Stores as they are configured: what is in one, whether it is whole, and what waits for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tidemark.config import Config, load_config
from tidemark.errors import StoreError

if TYPE_CHECKING:
    from tidemark.results.outbox import Label
    from tidemark.results.store import Store

__all__ = ["opened", "say_what_waits", "stores"]

FAILED = 1
PARTIAL = 3

stores = typer.Typer(help="Result stores, and what waits to be sent to one.", no_args_is_help=True)

Where = Annotated[
    str | None,
    typer.Argument(
        help="Result store (a path, file://, s3://). Default: configured.", metavar="STORE"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
            f"[yellow]note:[/] {_amount(waiting.files, waiting.size_bytes)} on this machine, not "
            f"yet in the store; when it answers: tidemark store send {escape(uri)}",
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
    found = open_store(label.uri, options=options, outbox=config.outbox)
    if found.outbox != label.folder.absolute():
        raise StoreError(
            "the environment or a profile names another endpoint than the one it waits for",
            label.uri,
            "Unset AWS_ENDPOINT_URL",
        )
    return found


def _uri(store: str | None) -> str:
    return store or load_config(os.environ, Path.cwd()).store


@stores.command("ls")
def ls(store: Where = None, as_json: AsJson = False) -> None:
    """Show runs, cells by model and date, what waits to be judged, and how much room it takes."""
    from tidemark.cli.runs import finished_document, finished_runs
    from tidemark.errors import StoreError
    from tidemark.results.files import sizes
    from tidemark.results.overview import look_at, unjudged_of

    where = opened(_uri(store))
    runs = finished_runs(where)
    listed = sizes(where.files)
    overview = look_at(listed)
    if not listed:
        raise StoreError("holds nothing", where.uri, "Check the address of the store")
    unjudged = [
        unjudged_of(cell_id, attempt, where.files.read(f"raw/{cell_id}/{attempt}/attempt.json"))
        for cell_id, attempt in overview.unjudged
    ]
    if as_json:
        document: dict[str, Any] = {
            "store": where.uri,
            "runs": [finished_document(row) for row in runs],
            **overview.document(),
            "unjudged": [
                {
                    "cell_id": one.cell_id,
                    "attempt_id": one.attempt_id,
                    "run_id": one.run_id,
                    "round": one.round,
                }
                for one in unjudged
            ],
        }
        typer.echo(json.dumps(document, indent=2, default=str))
        return
    console = Console(highlight=False)
    if runs:
        console.print(_runs_table(runs))
    table = Table("model", "date", "cells", box=None, pad_edge=False, header_style="bold")
    for (model, date), count in overview.cells.items():
        table.add_row(Text(model or "-"), date, str(count))
    if overview.cells:
        console.print(table, "")
    for one in unjudged:
        advice = f"run again in round {one.round} to judge it" if one.round else "its round is lost"
        words = f"measured, not judged: {advice}"
        console.print(Text(f"raw/{one.cell_id}/{one.attempt_id}: {words}"), soft_wrap=True)
    for folder, count in overview.files.items():
        console.print(f"{folder:<10} {decimal(overview.size_bytes[folder]):>10} in {count} files")
    total = sum(overview.size_bytes.values())
    console.print(f"{'all':<10} {decimal(total):>10} in {len(listed)} files")


def _runs_table(runs: list[dict[str, Any]]) -> Table:
    headings = ("run", "asked for", "round", "plan", "outcome", "valid")
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in runs:
        table.add_row(
            Text(row["run_id"]),
            f"{row['created_at']:%Y-%m-%d %H:%M}",
            Text(row["round"] or "-"),
            Text(row["plan_name"] or "-"),
            row["outcome"],
            f"{row['cells_valid']}/{row['cells_planned']}",
        )
    return table


@stores.command("check")
def check(store: Where = None, as_json: AsJson = False) -> None:
    """Look whether parts are damaged or missing, without making anything again.

    Exit status: 0 whole, 1 something is torn. `tidemark verify` proves the numbers, too.
    """
    from tidemark.cli.verify import print_findings
    from tidemark.results.files import sizes
    from tidemark.results.finding import by_weight
    from tidemark.results.overview import manifest_problems, unfinished_files

    where = opened(_uri(store))
    manifests = {path: where.files.read(path) for path in where.files.list("manifests")}
    torn = where.torn()
    listed = sizes(where.files)
    found = by_weight([*unfinished_files(listed, torn), *manifest_problems(manifests, listed)])
    wrong = sum(one.level == "wrong" for one in found)
    if as_json:
        document = {"store": where.uri, "exit_status": int(bool(wrong)), "files": len(listed),
                    "findings": [one.document() for one in found]}  # fmt: skip
        typer.echo(json.dumps(document, indent=2))
    else:
        print_findings(Console(highlight=False), found)
        verdict = f"{wrong} wrong" if wrong else "nothing is torn"
        typer.echo(f"{len(listed)} files, {len(manifests)} finished runs: {verdict}")
    raise typer.Exit(int(bool(wrong)))
