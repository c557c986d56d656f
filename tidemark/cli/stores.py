"""`tidemark store`: what is in a store, and whether it is whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from tidemark.config import load_config

__all__ = ["stores"]

stores = typer.Typer(help="What is in a result store.", no_args_is_help=True)

Where = Annotated[
    str | None,
    typer.Argument(
        help="Result store (a path, file://, s3://). Default: configured.", metavar="STORE"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _uri(store: str | None) -> str:
    return store or load_config(os.environ, Path.cwd()).store


@stores.command("ls")
def ls(store: Where = None, as_json: AsJson = False) -> None:
    """Show runs, cells by model and date, what waits to be judged, and how much room it takes."""
    from tidemark.cli.runs import finished_document, finished_runs
    from tidemark.errors import StoreError
    from tidemark.results.files import sizes
    from tidemark.results.overview import look_at, unjudged_of
    from tidemark.results.store import open_store

    opened = open_store(_uri(store))
    runs = finished_runs(opened)
    listed = sizes(opened.files)
    overview = look_at(listed)
    if not listed:
        raise StoreError("holds nothing", opened.uri, "Check the address of the store")
    unjudged = [
        unjudged_of(cell_id, attempt, opened.files.read(f"raw/{cell_id}/{attempt}/attempt.json"))
        for cell_id, attempt in overview.unjudged
    ]
    if as_json:
        document: dict[str, Any] = {
            "store": opened.uri,
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
    from tidemark.results.store import open_store

    opened = open_store(_uri(store))
    manifests = {path: opened.files.read(path) for path in opened.files.list("manifests")}
    torn = opened.torn()
    listed = sizes(opened.files)
    found = by_weight([*unfinished_files(listed, torn), *manifest_problems(manifests, listed)])
    wrong = sum(one.level == "wrong" for one in found)
    if as_json:
        document = {"store": opened.uri, "exit_status": int(bool(wrong)), "files": len(listed),
                    "findings": [one.document() for one in found]}  # fmt: skip
        typer.echo(json.dumps(document, indent=2))
    else:
        print_findings(Console(highlight=False), found)
        verdict = f"{wrong} wrong" if wrong else "nothing is torn"
        typer.echo(f"{len(listed)} files, {len(manifests)} finished runs: {verdict}")
    raise typer.Exit(int(bool(wrong)))
