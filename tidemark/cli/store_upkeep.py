"""Stores kept up: many small parts made into few, and results copied into another store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import typer
from rich.filesize import decimal

from tidemark.cli.printing import say
from tidemark.cli.progress import progress
from tidemark.cli.store_views import demand_something
from tidemark.results.compaction import compact
from tidemark.results.compaction_plan import Plan, plan_compaction
from tidemark.results.copying import copy_store
from tidemark.results.outbox import Left
from tidemark.results.store import Store

__all__ = ["compact_parts", "copy_results"]

PARTIAL = 3
LISTED = 100


def compact_parts(store: Store, *, older_than_days: int, dry_run: bool, as_json: bool) -> int:
    """Compact a store, or say what would be done; returns the exit status."""
    demand_something(store)
    now = datetime.now(UTC)
    plan = plan_compaction(store, now=now, older_than=timedelta(days=older_than_days))
    if dry_run:
        _show_plan(store, plan, as_json=as_json)
        if not as_json:
            _say_what_stays(plan, older_than_days)
        return 0
    with progress("compacting", "compacted", "parts") as on_progress:
        done = compact(store, plan, on_progress=on_progress)
    if as_json:
        typer.echo(json.dumps({**done.document(), **_staying(plan)}, indent=2))
    elif done.generation is not None:
        say(
            f"{done.attempts} attempts: {done.parts_before} parts "
            f"({decimal(done.size_bytes_before)}) are {done.parts_after} "
            f"({decimal(done.size_bytes_after)}) now, generation {done.generation}"
        )
    else:
        say("nothing was to be compacted")
    if done.leftovers and not as_json:
        say(f"{done.leftovers} files that earlier compactions left are removed")
    if not as_json:
        _say_what_stays(plan, older_than_days)
    _say_what_is_left(done.left)
    return PARTIAL if done.left else 0


def _show_plan(store: Store, plan: Plan, *, as_json: bool) -> None:
    size_bytes = sum(merge.size_bytes for merge in plan.merges)
    if as_json:
        document = {
            "uri": store.uri,
            "parts_before": plan.sources,
            "parts_after": len(plan.merges),
            "size_bytes_before": size_bytes,
            "leftovers": plan.leftovers,
            "merges": [
                {
                    "folder": merge.folder,
                    "parts": len(merge.sources),
                    "size_bytes": merge.size_bytes,
                }
                for merge in plan.merges
            ],
            **_staying(plan),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    for merge in plan.merges:
        say(f"{merge.folder}: {len(merge.sources)} parts ({decimal(merge.size_bytes)}) into 1")
    say(
        f"{plan.sources} parts ({decimal(size_bytes)}) would become {len(plan.merges)}, and "
        f"{plan.leftovers} files that earlier compactions left would be removed"
    )


def _staying(plan: Plan) -> dict[str, int]:
    return {"alone": plan.alone, "unfinished": plan.unfinished}


def _say_what_stays(plan: Plan, older_than_days: int) -> None:
    """Which small parts are no part of a plan, and why."""
    told = []
    if plan.alone:
        told.append(
            f"{plan.alone} with no other to merge with in the same folder (table, model and date)"
        )
    if plan.unfinished:
        told.append(
            f"{plan.unfinished} of runs that have not finished and are less than "
            f"{older_than_days} days old, or of attempts that are not complete"
        )
    if told:
        say(f"{plan.alone + plan.unfinished} small parts stay: {'; '.join(told)}")


def copy_results(source: Store, destination: Store, *, as_json: bool) -> int:
    """Copy a store into another one, say what came of it, and return the exit status."""
    demand_something(source)
    with progress("copying", "copied", "files") as on_progress:
        done = copy_store(source, destination, on_progress=on_progress)
    if as_json:
        typer.echo(json.dumps(done.document(), indent=2))
    else:
        others = f", {done.passed_over} that are no results passed over" if done.passed_over else ""
        say(
            f"{done.files} files ({decimal(done.size_bytes)}) copied to {done.destination}, "
            f"{done.same} were there already, {len(done.left)} left{others}"
        )
    _say_what_is_left(done.left)
    return PARTIAL if done.left else 0


def _say_what_is_left(left: Iterable[Left]) -> None:
    told = [f"left {one.path}: {one.reason}" for one in left]
    for line in told[:LISTED]:
        say(line, err=True)
    if len(told) > LISTED:
        say(f"and {len(told) - LISTED} more (--json lists all)", err=True)
