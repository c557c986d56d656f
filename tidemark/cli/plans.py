"""Reading a plan from the command line, and showing what it would do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidemark.cli.prefect_server import read_block
from tidemark.config import load_config, read_text
from tidemark.errors import PlanError
from tidemark.inputs import check_inputs
from tidemark.plan.advice import check_runnable
from tidemark.plan.cells import cells, chosen
from tidemark.plan.job import JobPlan
from tidemark.plan.load import load_document
from tidemark.plan.manifest import PlanDocument
from tidemark.plan.secrets import lend
from tidemark.plan.sweep import (
    SweepPlan,
    warnings,
    with_model,
    with_tokenizer,
    with_url,
)
from tidemark.preview import COLUMNS, Preview, failures

__all__ = ["check_here", "destination", "read_plan", "show_plan"]

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


def destination(read: PlanDocument, store: str | None) -> tuple[str, Mapping[str, str]]:
    """Where results go, and what the plan's document says about that place.

    A store that is named on the command line replaces both.
    """
    if store:
        return store, {}
    if read.store_uri:
        return read.store_uri, read.store_options
    return load_config(os.environ, Path.cwd()).store, {}


def check_here(
    plan: SweepPlan,
    store: str,
    only: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
) -> None:
    """All that can be seen on this machine in no time. Raises TidemarkError for the first."""
    for check in _checks(plan, store, only, parameters):
        check()


def _checks(
    plan: SweepPlan,
    store: str,
    only: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
) -> tuple[Callable[[], object], ...]:
    from tidemark.cli.stores import opened

    return (
        lambda: check_runnable(plan),
        lambda: chosen(plan, only),
        lambda: lend(plan.endpoint.secrets, os.environ, read_text, read_block),
        lambda: check_inputs(plan),
        lambda: opened(store, parameters),
    )


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
        plan = _sweep_of(found.get(run_id) or next(iter(found.values())), run_id)
        return PlanDocument(plan=plan, store_uri=uri, warnings=warnings(plan))
    raise PlanError("no such run in the store", f"{run_id} in {uri}", "See its runs: tidemark runs")


def _sweep_of(text: str, run_id: str) -> SweepPlan:
    """The sweep of a run's plan: its own, or the one that its job ran."""
    try:
        return SweepPlan.model_validate_json(text)
    except ValidationError:
        sweep = JobPlan.model_validate_json(text).sweep
    if sweep is None:
        raise PlanError(
            "ran a command in a job, and no sweep", run_id, f"tidemark dlc run run:{run_id}"
        )
    return sweep


def show_plan(read: PlanDocument, store: str | None, *, as_json: bool) -> None:
    """Print the cells, their longest time, what to know, and where results would go."""
    place, parameters = destination(read, store)
    shown = Preview(
        plan=read.plan,
        cells=cells(read.plan),
        store=place,
        notes=(*read.notes, *read.warnings),
        to_mend=failures(_checks(read.plan, place, (), parameters)),
    )
    if as_json:
        typer.echo(json.dumps(shown.document(), indent=2))
        return
    console = Console(highlight=False)
    table = Table(title=read.plan.name or None)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("cell", "scenario") else "right")
    for row in shown.rows():
        table.add_row(*row)
    console.print(table)
    said = ""
    for label, text in shown.facts():
        console.print(f"{label if label != said else '':<10} {escape(text)}", soft_wrap=True)
        said = label
    for note in shown.notes:
        console.print(f"[yellow]note[/]       {escape(note)}", soft_wrap=True)
    for problem in shown.to_mend:
        console.print(f"[red]to mend[/]    {escape(problem)}", soft_wrap=True)
    console.print("Nothing was started.")
