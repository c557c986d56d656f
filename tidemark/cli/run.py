"""Running a sweep from a terminal: a bar while it runs, five lines when it is over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape

from tidemark.cli.plans import check_here, destination
from tidemark.cli.prefect_server import TemporaryServer, start_prefect
from tidemark.cli.stores import say_what_waits
from tidemark.cli.terminal import (
    INTERRUPTED,
    Bar,
    Listener,
    server_answers,
    without_tracebacks,
)
from tidemark.config import load_config
from tidemark.engines.install import find
from tidemark.engines.process import Standby, prestart
from tidemark.errors import ConfigError
from tidemark.plan.advice import check_reuse
from tidemark.plan.manifest import PlanDocument
from tidemark.results.locations import parse_location
from tidemark.results.options import over
from tidemark.results.rounds import check_round

if TYPE_CHECKING:
    from blocks import ResultStore
    from tasks.progress import ProgressReport
    from tasks.report import SweepOutcome

__all__ = ["run_sweep"]


def run_sweep(
    read: PlanDocument,
    *,
    store: str | None,
    round_name: str | None,
    html: Path | None,
    as_json: bool,
    only: Sequence[str] = (),
    reuse_valid: bool = False,
) -> int:
    """Run the flow and print what came of it; returns the exit status."""
    console = Console(stderr=True, highlight=False)
    for note in (*read.notes, *read.warnings):
        console.print(f"[yellow]note:[/] {note}", soft_wrap=True)
    config = load_config(os.environ, Path.cwd())
    place, parameters = destination(read, store)
    check_here(read.plan, place, only, parameters)
    check_reuse(read.plan, reuse_valid)
    if round_name is not None:
        check_round(round_name)
    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigError("no such folder", f"--html {html}", "Make it, or name another")
    engine = find(read.plan.engine.name, config.engines)
    console.print("starting Prefect and the engine")
    # Prefect's server and the engine take seconds to start: they overlap with our own imports.
    server = start_prefect()
    standby = prestart(engine, config.spool / f"standby-{uuid.uuid4().hex[:8]}")
    try:
        outcome = _run(
            read,
            place,
            parameters,
            round_name,
            list(only),
            reuse_valid,
            standby,
            server,
            console,
        )
    except KeyboardInterrupt:
        console.print("interrupted; the requests and raw output of finished cells are in the store")
        return INTERRUPTED
    finally:
        standby.discard()
        say_what_waits(place, console, parameters)
    if html is not None:
        from tidemark.history.html import html_report

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
        for note in outcome.run["notes"]:
            Console(highlight=False).print(escape(note), soft_wrap=True)
        if len(outcome.cells) < outcome.run["cells_planned"]:
            Console(highlight=False).print(
                f"go on with the cells that are missing: the same command with "
                f"--round {outcome.run['round']}",
                soft_wrap=True,
            )
    return outcome.exit_status


def _described(store: str, parameters: Mapping[str, str]) -> ResultStore:
    """A store as the plan's document describes it, over what is configured."""
    from blocks import ResultStore

    config = load_config(os.environ, Path.cwd())
    configured = {**config.options_for(store), **config.credentials_for(store)}
    return ResultStore.of(store, over(parse_location(store).scheme, configured, parameters))


def _run(
    read: PlanDocument,
    store: str,
    parameters: Mapping[str, str],
    round_name: str | None,
    only: list[str],
    reuse_valid: bool,
    standby: Standby,
    server: TemporaryServer | None,
    console: Console,
) -> SweepOutcome:
    from prefect.client.schemas.objects import State

    from flows.sweep import sweep
    from tasks.cells import STANDBY
    from tasks.progress import OBSERVER
    from tasks.stop import STOP, Stop

    if server is not None:
        server.wait()
    STANDBY.set(standby)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stop = Stop()
    STOP.set(stop)
    listener = Listener(stop, console)
    with Bar(console) as bar, listener, without_tracebacks(), server_answers():

        def observe(report: ProgressReport) -> None:
            listener.listen_to_sigterm()
            bar.show(report)

        OBSERVER.set(observe)
        running = sweep(
            read.plan,
            store="" if parameters else store,
            result_store=_described(store, parameters) if parameters else None,
            round=round_name,
            reuse_valid=reuse_valid,
            only=only or None,
        )
        outcome = asyncio.run(running)
        assert not isinstance(outcome, State)  # which only runs of a deployment end with
        return outcome


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
