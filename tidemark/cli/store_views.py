"""What is in a store, shown; and whether it is whole, without making anything again."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from tidemark.cli.runs import finished_document, finished_runs
from tidemark.cli.verify import print_findings
from tidemark.errors import StoreError
from tidemark.results.files import sizes
from tidemark.results.finding import by_weight
from tidemark.results.overview import (
    Overview,
    Unjudged,
    look_at,
    manifest_problems,
    unfinished_files,
    unjudged_of,
)
from tidemark.results.store import Store

__all__ = ["check_store", "show_store"]


def show_store(store: Store, *, as_json: bool) -> None:
    """Print runs, cells by model and date, unjudged attempts, and sizes."""
    runs = finished_runs(store)
    overview = look_at(sizes(store.files))
    if not overview.files:
        raise StoreError("holds nothing", store.uri, "Check the address of the store")
    unjudged = [
        unjudged_of(cell_id, attempt, store.files.read(f"raw/{cell_id}/{attempt}/attempt.json"))
        for cell_id, attempt in overview.unjudged
    ]
    if as_json:
        document: dict[str, Any] = {
            "store": store.uri,
            "runs": [finished_document(row) for row in runs],
            **overview.document(),
            "unjudged": [one.document() for one in unjudged],
        }
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        _print(Console(highlight=False), runs, overview, unjudged)


def _print(
    console: Console, runs: list[dict[str, Any]], overview: Overview, unjudged: list[Unjudged]
) -> None:
    if runs:
        console.print(_runs_table(runs), "")
    if overview.cells:
        table = _table("model", "date", "cells")
        for (model, date), count in overview.cells.items():
            table.add_row(Text(model or "-"), Text(date), str(count))
        console.print(table, "")
    for one in unjudged:
        advice = f"run again in round {one.round} to judge it" if one.round else "its round is lost"
        words = f"{one.folder}: measured, not judged: {advice}"
        console.print(Text(words), soft_wrap=True)
    for folder, count in overview.files.items():
        console.print(Text(_room(folder, overview.size_bytes[folder], count)))
    total = sum(overview.size_bytes.values())
    console.print(_room("all", total, sum(overview.files.values())))


def _room(folder: str, size_bytes: int, files: int) -> str:
    return f"{folder:<10} {decimal(size_bytes):>10} in {files} files"


def _runs_table(runs: list[dict[str, Any]]) -> Table:
    table = _table("run", "asked for", "round", "plan", "outcome", "valid")
    for row in runs:
        table.add_row(
            Text(row["run_id"]),
            f"{row['created_at']:%Y-%m-%d %H:%M}",
            Text(row["round"] or "-"),
            Text(row["plan_name"] or "-"),
            Text(row["outcome"] or "-"),
            f"{row['cells_valid']}/{row['cells_planned']}",
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        # The first column names what commands want to be told: it is never cut.
        table.add_column(heading, no_wrap=place == 0, overflow="ignore" if place == 0 else "fold")
    return table


def check_store(store: Store, *, as_json: bool) -> int:
    """Print what is torn, half-written or named and not there; returns the exit status."""
    manifests = {path: store.files.read(path) for path in store.files.list("manifests")}
    torn = store.torn()
    listed = sizes(store.files)
    found = by_weight([*unfinished_files(listed, torn), *manifest_problems(manifests, listed)])
    wrong = sum(one.level == "wrong" for one in found)
    status = 1 if wrong else 0
    if as_json:
        document = {
            "store": store.uri,
            "exit_status": status,
            "files": len(listed),
            "findings": [one.document() for one in found],
        }
        typer.echo(json.dumps(document, indent=2))
        return status
    print_findings(Console(highlight=False), found)
    verdict = f"{wrong} wrong" if wrong else "nothing is torn"
    typer.echo(f"{len(listed)} files, {len(manifests)} finished runs: {verdict}")
    return status
