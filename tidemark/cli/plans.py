"""Reading a plan from the command line, and showing what it would do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidemark.config import load_config, read_text
from tidemark.errors import PlanError, TidemarkError
from tidemark.inputs import check_inputs
from tidemark.plan.advice import check_runnable
from tidemark.plan.cells import cells, chosen
from tidemark.plan.estimate import estimate
from tidemark.plan.load import load_document
from tidemark.plan.manifest import PlanDocument
from tidemark.plan.secrets import lend
from tidemark.plan.sweep import (
    SweepPlan,
    plan_hash,
    warnings,
    with_model,
    with_tokenizer,
    with_url,
)
from tidemark.results.layout import encoded_model

__all__ = ["check_here", "read_plan", "show_plan"]

RUN_PREFIX = "run:"


def read_plan(
    file: str,
    *,
    url: str | None = None,
    model: str | None = None,
    tokenizer: str | None = None,
    store: str | None = None,
) -> PlanDocument:
    """A plan from a YAML file, from standard input (`-`), or of an earlier run (`run:ID`).

    A tokenizer given on the command line may be a relative path. Raises PlanError.
    """
    if file.startswith(RUN_PREFIX):
        read = _of_run(file.removeprefix(RUN_PREFIX), store)
    else:
        read = _of_file(file)
    plan = read.plan
    if tokenizer is not None and Path(tokenizer).is_dir():
        tokenizer = str(Path(tokenizer).resolve())
    for field, value, change in (
        ("--url", url, with_url),
        ("--model", model, with_model),
        ("--tokenizer", tokenizer, with_tokenizer),
    ):
        if value is None:
            continue
        try:
            plan = change(plan, value)
        except ValidationError as error:
            words = error.errors()[0]["msg"]
            raise PlanError(words, field, "Correct the option") from None
    of_document = tuple(words for words in read.warnings if words not in warnings(read.plan))
    return replace(read, plan=plan, warnings=(*of_document, *warnings(plan)))


def check_here(plan: SweepPlan, store: str, only: Sequence[str] = ()) -> None:
    """All that can be seen on this machine in no time. Raises TidemarkError for the first."""
    for check in _checks(plan, store, only):
        check()


def _checks(
    plan: SweepPlan, store: str, only: Sequence[str] = ()
) -> tuple[Callable[[], object], ...]:
    from tidemark.cli.stores import opened

    return (
        lambda: check_runnable(plan),
        lambda: chosen(plan, only),
        lambda: lend(plan.endpoint.secrets, os.environ, read_text),
        lambda: check_inputs(plan),
        lambda: opened(store),
    )


def _to_mend(plan: SweepPlan, store: str) -> list[str]:
    """What stands against a run from here, in sentences."""
    found = []
    for check in _checks(plan, store):
        try:
            check()
        except TidemarkError as error:
            found.append(str(error))
    return found


def _of_file(file: str) -> PlanDocument:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise PlanError(f"cannot be read ({words})", file, "Name a YAML file with a plan") from None
    return load_document(text, "standard input" if file == "-" else file)


def _of_run(run_id: str, store: str | None) -> PlanDocument:
    from tidemark.cli.stores import opened

    uri = store or load_config(os.environ, Path.cwd()).store
    found = {
        row["run_id"]: row["plan_json"]
        for row in opened(uri).runs().to_pylist()
        if run_id and row["run_id"].startswith(run_id)
    }
    if len(found) > 1 and run_id not in found:
        raise PlanError("several runs begin so", run_id, f"Choose one: {', '.join(sorted(found))}")
    if found:
        plan = SweepPlan.model_validate_json(found.get(run_id) or next(iter(found.values())))
        return PlanDocument(plan=plan, store_uri=uri, warnings=warnings(plan))
    raise PlanError("no such run in the store", f"{run_id} in {uri}", "See its runs: tidemark runs")


def show_plan(read: PlanDocument, store: str, *, as_json: bool) -> None:
    """Print the cells, their longest time, what to know, and where results would go."""
    plan = read.plan
    bound = estimate(plan)
    if as_json:
        typer.echo(json.dumps(_document(read, store), indent=2))
        return
    console = Console(highlight=False)
    table = Table(title=plan.name or None)
    for name in ("cell", "scenario", "level", "repeat", "requests", "at most"):
        table.add_column(name, justify="left" if name in ("cell", "scenario") else "right")
    for one in bound.cells:
        cell = one.cell
        level = cell.batch_size if len(plan.batch_sizes) > 1 else cell.concurrency
        table.add_row(
            cell.cell_id[:12],
            cell.scenario,
            str(level),
            str(cell.repeat_idx + 1),
            str(plan.limits.requests_at(cell.concurrency)),
            _minutes(one.total_s),
        )
    console.print(table)
    service = plan.endpoint.inference_service
    by_name = f"InferenceService {service.namespace}/{service.name}" if service else "not given"
    console.print(f"endpoint   {plan.endpoint.url or by_name}")
    console.print(f"task       {plan.task} by {plan.engine.name} {plan.engine.version}")
    console.print(f"at most    {_minutes(bound.total_s)}, with the warm-up; usually much less")
    console.print(f"writes     {store}")
    for path in _paths(plan):
        console.print(f"           {path}", soft_wrap=True)
    console.print(f"plan hash  {plan_hash(plan)}")
    for note in (*read.notes, *read.warnings):
        console.print(f"[yellow]note[/]       {escape(note)}", soft_wrap=True)
    for problem in _to_mend(plan, store):
        console.print(f"[red]to mend[/]    {escape(problem)}", soft_wrap=True)
    console.print("Nothing was started.")


def _document(read: PlanDocument, store: str) -> dict[str, Any]:
    bound = estimate(read.plan)
    return {
        "plan_hash": plan_hash(read.plan),
        "plan": read.plan.model_dump(mode="json"),
        "store": store,
        "at_most_s": bound.total_s,
        "cells": [
            {
                "cell_id": one.cell.cell_id,
                "scenario": one.cell.scenario,
                "concurrency": one.cell.concurrency,
                "batch_size": one.cell.batch_size,
                "repeat_idx": one.cell.repeat_idx,
                "at_most_s": one.total_s,
            }
            for one in bound.cells
        ],
        "writes": _paths(read.plan),
        "warnings": [*read.notes, *read.warnings],
        "to_mend": _to_mend(read.plan, store),
    }


def _paths(plan: SweepPlan) -> list[str]:
    count = len(cells(plan))
    model = encoded_model(plan.endpoint.model) if plan.endpoint.model else "…"
    where = f"model={model}/date=…"
    return [
        f"cells/{where}  {count} parts",
        f"requests/{where}  {count} parts",
        f"raw/<cell>/<attempt>/  {count} folders",
        "runs/date=…  1 part, manifests/  1 file",
    ]


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
