"""Running a job of PAI-DLC from a terminal: its quote, its log as it comes, and what it came to."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from tidemark.cli.alibaba_session import Session
from tidemark.cli.asking import UpTo, answer_by_sum, ask_elsewhere, ask_here, without_estimates
from tidemark.cli.ledgers import ledger_if_any
from tidemark.cli.left_behind import left_behind
from tidemark.cli.prefect_server import TemporaryServer, start_prefect
from tidemark.cli.printing import moment, plain
from tidemark.cli.stores import opened, say_what_waits
from tidemark.cli.terminal import (
    INTERRUPTED,
    Bar,
    Listener,
    server_answers,
    without_tracebacks,
)
from tidemark.config import load_config
from tidemark.errors import ConfigError, TidemarkError
from tidemark.money.amounts import sum_text
from tidemark.plan.job import JobPlan, job_warnings
from tidemark.plan.problems import path_text, problems_of

if TYPE_CHECKING:
    from blocks import PaiWorkspace
    from tasks.job_results import JobOutcome
    from tasks.progress import ProgressReport
    from tidemark.money.ledger import LedgerRun

__all__ = ["run_job", "what_is_kept"]

FAILED, WRONG_USE = 1, 2
_OPTIONS = {"region": "--region", "workspace_id": "--workspace"}


@dataclass(slots=True)
class _Asked:
    """What the command line says, and the id of the flow run once it has one."""

    plan: JobPlan
    store: str
    session: Session
    workspace: str | None
    up_to: UpTo | None
    console: Console
    flow_run_id: str | None = field(default=None)


def run_job(
    plan: JobPlan,
    *,
    store: str | None,
    session: Session,
    workspace: str | None,
    approve_up_to: str | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Run the flow, and print what came of it; returns the exit status: that of the outcome, or 2
    for what was refused before anything could be billed."""
    console = Console(stderr=True, highlight=False)
    for note in job_warnings(plan):
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    up_to = UpTo.of(approve_up_to, "--approve-up-to") if approve_up_to is not None else None
    place = store or load_config(os.environ, Path.cwd()).store
    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigError("no such folder", f"--html {html}", "Make it, or name another")
    asked = _Asked(plan, place, session, workspace, up_to, console)
    if session.endpoint is not None:
        # Whatever gives back what the run holds, in whichever process, is led there too.
        os.environ["TIDEMARK_PAI_ENDPOINT"] = session.endpoint
    try:
        opened(place)
        console.print("starting Prefect")
        outcome = _run(asked, start_prefect())
    except KeyboardInterrupt:
        _leave(asked)
        return INTERRUPTED
    except TidemarkError as error:
        console.print(f"[bold red]error:[/] {escape(plain(error))}", soft_wrap=True)
        if not _may_be_billed(asked):
            return WRONG_USE
        _say_what_is_left(asked)
        return FAILED
    if outcome is None:
        return _say_rejected(asked, as_json=as_json)
    say_what_waits(place, console)
    if html is not None:
        from tidemark.history.html import html_report

        html.write_text(html_report(outcome.run, outcome.cells), "utf-8")
    if as_json:
        typer.echo(json.dumps(_document(outcome, html), indent=2, default=str))
    else:
        _print_outcome(outcome, html)
    return outcome.exit_status


def _run(asked: _Asked, server: TemporaryServer | None) -> JobOutcome | None:
    """What the run came to; None if its quote was rejected."""
    from prefect.exceptions import CancelledRun
    from prefect.runtime import flow_run

    from flows.dlc_benchmark import dlc_benchmark
    from tasks.approval import ASK
    from tasks.job_results import JobOutcome
    from tasks.progress import OBSERVER
    from tasks.stop import STOP, Stop

    console = asked.console
    workspace = _workspace(asked)
    if server is not None:
        server.wait()
    stop = Stop()
    STOP.set(stop)
    listener = Listener(stop, console, lambda: _leave(asked), kept=what_is_kept(asked.plan))
    # How long somebody thinks about the quote is not known.
    with (
        Bar(console, estimates=False) as bar,
        listener,
        without_tracebacks(),
        _job_lines(console),
        server_answers(),
    ):

        def observe(report: ProgressReport) -> None:
            asked.flow_run_id = asked.flow_run_id or (str(flow_run.id) if flow_run.id else None)
            listener.listen_to_sigterm()
            bar.show(report)

        OBSERVER.set(observe)
        if asked.up_to is not None:
            ask = answer_by_sum(asked.up_to)
        elif os.isatty(0) and console.is_terminal:
            ask = ask_here(console, bar.aside)
        else:
            ask = ask_elsewhere(console)
        ASK.set(without_estimates(bar, ask))
        running = dlc_benchmark(asked.plan, workspace=workspace, store=asked.store)
        try:
            outcome = asyncio.run(running)
        except CancelledRun:
            return None
        assert isinstance(outcome, JobOutcome)  # a State is what runs of a deployment end with
        return outcome


def what_is_kept(plan: JobPlan) -> str:
    """What Ctrl-C stops and keeps, in words."""
    kept = "its log" if plan.sweep is None else "its finished cells, its log"
    return (
        f"stopping, and the job too if it was created: {kept} and what it cost are kept. "
        "Once more leaves at once, and the job to the reaper"
    )


def _workspace(asked: _Asked) -> PaiWorkspace:
    """The workspace of the command line. Raises ConfigError, which names the option."""
    from blocks import PaiWorkspace

    try:
        return PaiWorkspace(region=asked.session.region, workspace_id=asked.workspace)
    except ValidationError as error:
        found = problems_of(error, PaiWorkspace)[0]
    raise ConfigError(found.what, _OPTIONS.get(path_text(found.where)), found.remedy)


@contextmanager
def _job_lines(console: Console) -> Iterator[None]:
    """Print what the job's pods write, as it comes; nothing else that runs log below a warning."""
    runs = logging.getLogger("prefect.task_runs")
    level, shown_from = runs.level, runs.getEffectiveLevel()
    lines = _JobLines(console)

    def passes(record: logging.LogRecord) -> bool:
        return record.name != runs.name or record.levelno >= shown_from

    others = {each for name in ("", "prefect") for each in logging.getLogger(name).handlers}
    for handler in others:
        handler.addFilter(passes)
    runs.setLevel(min(shown_from, logging.INFO))
    runs.addHandler(lines)
    try:
        yield
    finally:
        runs.removeHandler(lines)
        runs.setLevel(level)
        for handler in others:
            handler.removeFilter(passes)


class _JobLines(logging.Handler):
    """Prints the records in which the step that waits for a job passes its log on."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line of a pod, which is named without its job: `worker-0 | text`."""
        if (record.module, record.funcName) != ("jobs", "said"):
            return
        pod_id, _, text = record.getMessage().partition(" | ")
        pod = pod_id.partition("-")[2] or pod_id
        self._console.print(f"{pod} | {plain(text)}", markup=False, soft_wrap=True)


def _may_be_billed(asked: _Asked) -> bool:
    """Whether the run got as far as noting something billable."""
    if asked.flow_run_id is None:
        return False
    with ledger_if_any() as ledger:
        if ledger is None:
            return True
        run = ledger.run(asked.flow_run_id)
        return bool(ledger.leases(run_id=run.run_id))


def _leave(asked: _Asked) -> None:
    """Say what is left, and end this process: what is underway is not waited for."""
    _say_what_is_left(asked)
    os._exit(INTERRUPTED)


def _say_what_is_left(asked: _Asked) -> None:
    lines = ["nothing was started"]
    if asked.flow_run_id is not None:
        lines = left_behind(asked.flow_run_id)
    for line in lines:
        asked.console.print(line, markup=False, soft_wrap=True)


def _say_rejected(asked: _Asked, *, as_json: bool) -> int:
    run = _noted(asked)
    line = "The quote was rejected" if run is None else run.line
    status = 1 if run is None or run.exit_status is None else run.exit_status
    if as_json:
        document = {
            "run_id": run.run_id if run else None,
            "outcome": run.outcome if run else "rejected",
            "exit_status": status,
            "why": line,
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(plain(f"{line}. Nothing was started, nothing is billed."))
        if run is not None:
            typer.echo(f"run {run.run_id}")
    return status


def _noted(asked: _Asked) -> LedgerRun | None:
    if asked.flow_run_id is None:
        return None
    with ledger_if_any() as ledger:
        return None if ledger is None else ledger.run(asked.flow_run_id)


def _print_outcome(outcome: JobOutcome, html: Path | None) -> None:
    from tidemark.history.terminal import render

    out = Console(highlight=False)
    out.print(render(outcome.run, outcome.cells))
    for note in outcome.run["notes"] or ():
        out.print(plain(note), markup=False, soft_wrap=True)
    out.print(_costs(outcome.run), markup=False, soft_wrap=True)
    report = f"; report in {html}" if html is not None else ""
    out.print(f"run {outcome.run_id} in {outcome.store}{report}", markup=False, soft_wrap=True)


def _costs(row: dict[str, Any]) -> str:
    currency = row["currency"]
    if currency is None:
        return "cost: no price of its own"
    said = [
        f"{word} {sum_text(row[name], currency)}"
        for word, name in (
            ("quoted", "quoted"),
            ("reserved", "reserved"),
            ("metered", "metered"),
        )
        if row[name] is not None
    ]
    read = f", price of {moment(row['price_at'])}" if row["price_at"] is not None else ""
    return f"cost: {', '.join(said)}{read}"


def _document(outcome: JobOutcome, html: Path | None) -> dict[str, object]:
    row = outcome.run
    return {
        "run_id": outcome.run_id,
        "outcome": outcome.outcome,
        "exit_status": outcome.exit_status,
        "store": outcome.store,
        "job_id": outcome.job_id,
        "report": str(html) if html is not None else None,
        "five_lines": list(outcome.five_lines),
        **{
            name: row[name]
            for name in ("currency", "quoted", "reserved", "metered", "approved_by", "notes")
        },
        "cells": [
            {key: value for key, value in cell.items() if value is not None}
            for cell in outcome.cells
        ],
    }
