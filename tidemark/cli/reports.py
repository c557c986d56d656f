"""Reporting a run that is in a store."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console

from tidemark.cli.stores import opened
from tidemark.errors import ConfigError, StoreError
from tidemark.history.html import html_report
from tidemark.history.terminal import render

__all__ = ["show_report"]


def show_report(uri: str, run_id: str | None, *, html: Path | None, as_json: bool) -> int:
    """Print the report of a run, by default the latest; returns the run's exit status."""
    store = opened(uri)
    runs = sorted(store.runs().to_pylist(), key=lambda row: row["created_at"])
    if not runs:
        raise StoreError("holds no finished run", uri, "Run one: tidemark sweep PLAN --store …")
    chosen = [row for row in runs if run_id is None or row["run_id"].startswith(run_id)]
    if not chosen:
        known = ", ".join(row["run_id"] for row in runs[-5:])
        raise StoreError(f"no run begins with {run_id}", uri, f"The latest are: {known}")
    run = chosen[-1]
    cells = sorted(store.run_cells(run), key=lambda row: row["order_idx"])
    if html is not None:
        if not html.absolute().parent.is_dir():
            raise ConfigError("no such folder", f"--html {html}", "Make it, or name another")
        html.write_text(html_report(run, cells), "utf-8")
    if as_json:
        typer.echo(json.dumps({"run": run, "cells": cells}, indent=2, default=str))
    else:
        Console(highlight=False).print(render(run, cells))
    return int(run["exit_status"])
