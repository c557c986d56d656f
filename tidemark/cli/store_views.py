"""What is in a store, shown; and whether it is whole, without making anything again."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from tidemark.cli.runs import finished_document, finished_runs
from tidemark.cli.verify import print_findings
from tidemark.errors import StoreError
from tidemark.results.finding import by_weight
from tidemark.results.locations import FileLocation, Location
from tidemark.results.overview import (
    Overview,
    Unjudged,
    compaction_leftovers,
    look_at,
    manifest_problems,
    unfinished_files,
    unjudged_of,
)
from tidemark.results.store import Store

__all__ = ["check_store", "demand_something", "show_store"]


def demand_something(store: Store) -> dict[str, int]:
    """The size in bytes of each file of a store by path. Raises StoreError if it has none."""
    listed = store.files.sizes()
    if not listed:
        raise StoreError("holds nothing", store.uri, _remedy(store.location))
    return listed


def _remedy(location: Location) -> str:
    """What to do about a store that holds nothing: it may be another folder's name, mistyped."""
    if isinstance(location, FileLocation):
        folder = Path(location.path).expanduser().absolute()
        try:
            names = [beside.name for beside in folder.parent.iterdir() if beside.is_dir()]
        except OSError:
            return f"Check the address of the store: there is no folder {folder.parent}"
        near = [name for name in names if name != folder.name]
        for name in difflib.get_close_matches(folder.name, near, n=1):
            return f"Did you mean {folder.parent / name}?"
    return "Check the address of the store"


def show_store(store: Store, *, as_json: bool) -> None:
    """Print runs, cells by model and date, unjudged attempts, and sizes."""
    listed = demand_something(store)
    runs = finished_runs(store)
    overview = look_at(listed, store.compacted.catalog())
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
    if overview.generation:
        words = f"{overview.compacted} cells are compacted into {overview.large_parts} large parts"
        console.print(f"{words} (generation {overview.generation})")
    for folder, count in overview.files.items():
        console.print(Text(_room(folder, overview.size_bytes[folder], count)))
    total = sum(overview.size_bytes.values())
    console.print(_room("all", total, sum(overview.files.values())))


def _room(folder: str, size_bytes: int, files: int) -> str:
    return f"{folder:<11} {decimal(size_bytes):>10} in {files} files"


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
    demand_something(store)
    manifests = {path: store.files.read(path) for path in store.files.list("manifests")}
    torn = store.torn()
    listed = store.files.sizes()
    catalog = store.compacted.catalog()
    found = by_weight(
        [
            *unfinished_files(listed, catalog, torn),
            *compaction_leftovers(listed, catalog),
            *manifest_problems(manifests, (*listed, *catalog.places)),
        ]
    )
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
