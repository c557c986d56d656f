"""Runs seen from outside: which there are, what one does, and asking one to stop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from tidemark.cli.job_runs import (
    cancel_job_run,
    find_job_run,
    job_run_document,
    live_job_runs,
    show_job_run,
)
from tidemark.cli.stores import opened
from tidemark.errors import ConfigError, RefusedError, StoreError
from tidemark.results.lease import LIFETIME_S, LiveRun, ask_to_stop, live_runs
from tidemark.results.store import Store

if TYPE_CHECKING:
    from tidemark.money.ledger import LedgerRun

__all__ = ["cancel_run", "finished_document", "finished_runs", "show_runs", "show_status"]


AT_WORK = ("running", "stopping")


def show_runs(uri: str, *, as_json: bool) -> None:
    """List the runs of a store: those that are finished, the latest last, then those at work; and
    the runs of jobs that the ledger knows, and that are not over."""
    store = opened(uri)
    finished = finished_runs(store)
    live = live_runs(store.files)
    jobs = live_job_runs()
    if as_json:
        documents = [
            *map(finished_document, finished),
            *map(_live_document, live),
            *({**job_run_document(job.run), "unattended": not job.attended} for job in jobs),
        ]
        typer.echo(json.dumps(documents, indent=2, default=str))
        return
    if not finished and not live and not jobs:
        raise _no_such_run(None, uri)
    for row in finished:
        _say(
            f"{row['run_id']}  {row['outcome']:<12} {row['cells_valid']}/{row['cells_planned']} "
            f"valid  round {row['round']}  {row['plan_name'] or ''}".rstrip()
        )
    for run in live:
        _say(
            f"{run.run_id}  {_state(run):<12} {_line(run)}  round {run.owner['round']}  "
            f"{run.owner.get('plan_name') or ''}".rstrip()
        )
    for job in jobs:
        _say(job.line())


def show_status(uri: str, wanted: str | None, *, as_json: bool) -> int:
    """Say what a run does or came to; by default the one at work, or else the latest.

    Of the run of a job, the ledger tells. Returns the exit status of a finished run, 0 for one at
    work, 1 for one that died.
    """
    _demand_name(wanted)
    job = _job_meant(wanted)
    if job is not None:
        return show_job_run(job.run_id, as_json=as_json)
    store = opened(uri)
    finished = [row for row in finished_runs(store) if _is_named(row, wanted)]
    named = [run for run in live_runs(store.files) if _named(run, wanted)]
    if wanted is not None and len(named) > 1:
        raise _several(wanted, named)
    # One that died without an end is only of interest until another run is over.
    live = [
        run
        for run in named
        if _state(run) in AT_WORK or all(row["finished_at"] < run.heard_at for row in finished)
    ]
    if live:
        run = live[-1]
        if as_json:
            typer.echo(json.dumps(_live_document(run), indent=2, default=str))
            return 0
        _say(f"{run.run_id}  {_state(run)}")
        _say(_line(run))
        left_s = run.beat.get("left_s")
        if isinstance(left_s, int | float):
            _say(f"about {left_s:.0f} s left")
        _say(f"round {run.owner['round']}, {run.owner.get('cells')} cells")
        if run.process.gone():
            _say(
                f"its process is gone; go on: tidemark sweep PLAN --round "
                f"{run.owner['round']} --store {uri}"
            )
        return 0 if _state(run) in AT_WORK else 1
    if not finished:
        raise _no_such_run(wanted, uri)
    row = finished[-1]
    if as_json:
        typer.echo(json.dumps(finished_document(row), indent=2, default=str))
    else:
        _say(f"{row['run_id']}  {row['outcome']}")
        _say(
            f"{row['cells_valid']} of {row['cells_planned']} cells valid, "
            f"{row['cells_reused']} taken over; round {row['round']}"
        )
        for note in row["notes"] or ():
            _say(note)
        _say(f"tidemark report {row['run_id']} --store {uri}")
    return int(row["exit_status"])


def cancel_run(
    uri: str,
    wanted: str,
    *,
    wait_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Ask a run at work to stop, and wait until it has; 1 when it had not within `wait_s`."""
    _demand_name(wanted)
    job = find_job_run(wanted)
    if job is not None:
        return cancel_job_run(job.run_id, wait_s=wait_s)
    store = opened(uri)
    live = live_runs(store.files)
    named = [run for run in live if _named(run, wanted)]
    if not named:
        over = [row["run_id"] for row in finished_runs(store) if _is_named(row, wanted)]
        if over:
            raise RefusedError(
                "is over already", over[-1], f"See it: tidemark report {over[-1]} --store {uri}"
            )
        raise _no_such_run(wanted, uri)
    if len(named) > 1:
        raise _several(wanted, named)
    run = named[0]
    if run.process.gone():
        remedy = f"Go on with its round: tidemark sweep PLAN --round {run.owner['round']}"
        raise RefusedError("its process is gone already", run.run_id, remedy)
    ask_to_stop(store.files, run, "tidemark cancel")
    _say(f"{run.run_id} is asked to stop; it hears that within {store.beat_s:.0f} s")
    begin = clock()
    while any(other.path == run.path for other in live_runs(store.files)):
        if clock() - begin > wait_s:
            _say(f"it had not stopped after {wait_s:.0f} s: see tidemark status {run.run_id}")
            return 1
        sleep(1.0)
    _say("it has stopped; its finished cells are kept")
    _say(f"go on: tidemark sweep PLAN --round {run.owner['round']} --store {uri}")
    return 0


def _job_meant(wanted: str | None) -> LedgerRun | None:
    """The run of a job that is named; if none is, the newest that somebody looks after, or did a
    moment ago."""
    if wanted is not None:
        return find_job_run(wanted)
    live = [job for job in live_job_runs() if job.attended or job.is_leased]
    return live[-1].run if live else None


def finished_runs(store: Store) -> list[dict[str, Any]]:
    """The rows of the finished runs of a store, the latest last."""
    return sorted(store.runs().to_pylist(), key=lambda row: row["created_at"])


def _say(line: str) -> None:
    """Print one line; what others wrote into a store is not to steer a terminal."""
    typer.echo("".join(c if c.isprintable() else "\ufffd" for c in line))


def _demand_name(wanted: str | None) -> None:
    if wanted is not None and not wanted.strip():
        raise ConfigError("no run is named", "RUN", "Give the beginning of an id: tidemark runs")


def _several(wanted: str, named: list[LiveRun]) -> RefusedError:
    told = ", ".join(run.run_id for run in named)
    return RefusedError("several runs begin so", wanted, f"Choose one: {told}")


def _named(run: LiveRun, wanted: str | None) -> bool:
    flow_run_id = str(run.owner.get("flow_run_id") or "")
    return wanted is None or run.run_id.startswith(wanted) or flow_run_id.startswith(wanted)


def _is_named(row: dict[str, Any], wanted: str | None) -> bool:
    flow_run_id = str(row["flow_run_id"] or "")
    return wanted is None or row["run_id"].startswith(wanted) or flow_run_id.startswith(wanted)


def _no_such_run(wanted: str | None, uri: str) -> StoreError:
    if wanted is None:
        remedy = "Check the address of the store; a run shows up once it has started"
        return StoreError("holds no run yet", uri, remedy)
    remedy = f"See which there are: tidemark runs --store {uri}"
    return StoreError(f"no run begins with {wanted}", uri, remedy)


def _state(run: LiveRun) -> str:
    if run.process.gone():
        return "gone"
    if run.silent_s(datetime.now(UTC)) > LIFETIME_S:
        return "silent"
    return "stopping" if run.asked_to_stop else "running"


def _line(run: LiveRun) -> str:
    line, fraction = run.beat.get("line") or "Starting", run.beat.get("fraction") or 0.0
    silent_s = run.silent_s(datetime.now(UTC))
    heard = f", last heard of {silent_s:.0f} s ago" if silent_s > LIFETIME_S else ""
    return f"{_share(fraction):.0%} {line}{heard}"


def _share(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _live_document(run: LiveRun) -> dict[str, Any]:
    return {
        **run.owner,
        "state": _state(run),
        **{name: run.beat.get(name) for name in ("line", "fraction", "left_s", "at")},
    }


def finished_document(row: dict[str, Any]) -> dict[str, Any]:
    """What of a finished run's row is told of it in a list."""
    names = (
        "run_id", "round", "plan_name", "plan_hash", "flow_run_id", "requested_by", "created_at",
        "started_at", "finished_at", "cells_planned", "cells_valid", "cells_invalid",
        "cells_inconclusive", "cells_failed", "cells_reused", "outcome", "exit_status", "notes",
    )  # fmt: skip
    return {"state": "finished", **{name: row[name] for name in names}}
