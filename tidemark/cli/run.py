"""Running a sweep from a terminal: a bar while it runs, five lines when it is over."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tidemark.cli.prefect_server import API_URL, TemporaryServer, server_is_configured
from tidemark.config import load_config, read_text
from tidemark.engines.install import find
from tidemark.engines.process import Standby, prestart
from tidemark.plan.advice import check_runnable
from tidemark.plan.manifest import PlanDocument
from tidemark.plan.secrets import lend

if TYPE_CHECKING:
    from tasks.progress import ProgressReport
    from tasks.report import SweepOutcome

__all__ = ["run_sweep"]

INTERRUPTED = 130


def run_sweep(
    read: PlanDocument,
    *,
    store: str | None,
    round_name: str | None,
    html: Path | None,
    as_json: bool,
    only: Sequence[str] = (),
) -> int:
    """Run the flow and print what came of it; returns the exit status."""
    console = Console(stderr=True, highlight=False)
    for note in (*read.notes, *read.warnings):
        console.print(f"[yellow]note:[/] {note}", soft_wrap=True)
    check_runnable(read.plan)
    lend(read.plan.endpoint.secrets, os.environ, read_text)
    config = load_config(os.environ, Path.cwd())
    engine = find(read.plan.engine.name, config.engines)
    # Prefect's server and the engine take seconds to start: they overlap with our own imports.
    server = _start_prefect()
    standby = prestart(engine, config.spool / f"standby-{uuid.uuid4().hex[:8]}")
    try:
        outcome = _run(
            read, store or read.store_uri, round_name, list(only), standby, server, console
        )
    except KeyboardInterrupt:
        console.print("interrupted; what was measured is kept")
        return INTERRUPTED
    finally:
        standby.discard()
    if html is not None:
        from tidemark.history.html import html_report

        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(html_report(outcome.run, outcome.cells), "utf-8")
    if as_json:
        typer.echo(json.dumps(_document(outcome, html), indent=2, default=str))
    else:
        from tidemark.history.terminal import render

        Console(highlight=False).print(render(outcome.run, outcome.cells))
        Console(highlight=False).print(
            f"run {outcome.run_id} in {outcome.store}"
            + (f"; report in {html}" if html is not None else ""),
            soft_wrap=True,
        )
    return outcome.exit_status


def _run(
    read: PlanDocument,
    store: str | None,
    round_name: str | None,
    only: list[str],
    standby: Standby,
    server: TemporaryServer | None,
    console: Console,
) -> SweepOutcome:
    from flows.sweep import sweep
    from tasks.cells import STANDBY
    from tasks.progress import OBSERVER

    if server is not None:
        server.wait()
    STANDBY.set(standby)
    # A worker's or shell's SIGTERM leaves by the same way as Ctrl-C: finished cells stay.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _bar(console) as observer:
        OBSERVER.set(observer)
        return asyncio.run(sweep(read.plan, store=store, round=round_name, only=only or None))


def _start_prefect() -> TemporaryServer | None:
    """Prefect without chatter; a server of this command's own where none is set up."""
    for name, value in (
        ("PREFECT_LOGGING_LEVEL", "WARNING"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore"),
        ("DO_NOT_TRACK", "1"),
    ):
        os.environ.setdefault(name, value)
    if server_is_configured(os.environ, Path.cwd()):
        return None
    server = TemporaryServer.start(os.environ)
    os.environ[API_URL] = server.url
    # Registered before Prefect's own, so it runs after them: they still speak to the server.
    atexit.register(server.stop)
    return server


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[ProgressReport], None]]:
    """A bar with the status line and the time left; plain lines where there is no terminal."""
    if not console.is_terminal:
        last = ""

        def say(report: ProgressReport) -> None:
            nonlocal last
            if report.line != last:
                last = report.line
                console.print(f"{report.fraction:4.0%}  {report.line}", soft_wrap=True)

        yield say
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[left]}"),
        console=console,
        transient=True,
    ) as bar:
        row = bar.add_task("Starting", total=1.0, left="")

        def show(report: ProgressReport) -> None:
            left = "" if report.left_s is None else f"about {_time(report.left_s)} left"
            bar.update(row, description=report.line, completed=report.fraction, left=left)

        yield show


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _document(outcome: SweepOutcome, html: Path | None) -> dict[str, object]:
    return {
        "run_id": outcome.run_id,
        "outcome": outcome.outcome,
        "exit_status": outcome.exit_status,
        "store": outcome.store,
        "report": str(html) if html is not None else None,
        "five_lines": list(outcome.five_lines),
        "cells": [
            {key: value for key, value in row.items() if value is not None} for row in outcome.cells
        ],
    }
