"""`tidemark import`: what a load engine measured without us becomes rows of our tables."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tidemark import __version__
from tidemark.cli.printing import console, print_document, say
from tidemark.cli.stores import opened, say_what_waits
from tidemark.config import load_config
from tidemark.errors import StoreError

if TYPE_CHECKING:
    from tidemark.engines.genai_bench_import import ImportedFile, ImportedRun
    from tidemark.engines.genai_bench_import_source import Refused, Survey
    from tidemark.results.store import Store

__all__ = ["import_command", "import_output"]

FINE, FAILED, PARTIAL = 0, 1, 3


def import_command(
    source: Annotated[
        str,
        typer.Argument(
            help="What genai-bench wrote: a folder, file:// or s3://, at any depth.",
            metavar="SOURCE",
        ),
    ],
    store: Annotated[
        str | None,
        typer.Option(help="Result store (a path, file://, s3:// …). Default: configured."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="What to call the imported runs. Default: after SOURCE, the folder and the model."
        ),
    ] = None,
    engine_version: Annotated[
        str | None,
        typer.Option(help="Version of genai-bench, where no metadata beside the files tells it."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be imported; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import what genai-bench alone measured: a level becomes a cell, an experiment a run.

    Numbers are recomputed from the requests. What the files cannot prove is NULL with a reason, and
    a file that contradicts itself is refused by name. What was imported before is left as it is.
    Exit status: 0 all of it is in the store, 3 some of it, 1 nothing.
    """
    uri = store or load_config(os.environ, Path.cwd()).store
    raise typer.Exit(
        import_output(
            source,
            store=uri,
            name=name,
            engine_version=engine_version,
            dry_run=dry_run,
            as_json=as_json,
        )
    )


def import_output(
    source: str,
    *,
    store: str,
    name: str | None,
    engine_version: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Import what genai-bench left at a location, say what came of it, return the exit status.

    Exit status: 0 all of it is in the store, 3 some of it, 1 nothing of it. Raises PlanError for
    a name or a version that cannot be one, TidemarkError for a location that cannot be read.
    """
    from tidemark.cli.progress import steps
    from tidemark.engines.genai_bench_import import Importer
    from tidemark.engines.genai_bench_import_source import survey
    from tidemark.results.context import Harness

    _check(name, engine_version)
    found, target = opened(source), opened(store)
    with steps() as on_progress:
        surveyed = survey(found.files, found.uri, on_progress=on_progress)
        importer = Importer(
            found.files,
            found.uri,
            target,
            harness=Harness(tidemark_version=__version__, python_version=platform.python_version()),
            now=datetime.now(UTC),
            requested_by=_user(),
            name=name,
            version=engine_version,
            on_progress=on_progress,
        )
        runs = importer.run(surveyed, dry_run=dry_run)
    refused = [*surveyed.refused, *importer.refused]
    sent = dry_run or _sent(target)
    files = [file for run in runs for file in run.files]
    status = FAILED if not files else PARTIAL if refused or not sent else FINE
    if as_json:
        print_document(_document(found, target, runs, surveyed, refused, status))
        return status
    for run in runs:
        _say_run(run)
    for path, other in surveyed.same.items():
        say(f"passed over {path}: it is byte by byte {other}")
    for one in refused:
        say(f"refused {one.path}: {one.what}. {one.remedy or ''}".rstrip(), err=True)
    say(_summary(files, refused, surveyed, dry_run))
    if name is not None and any(file.fate == "already" for file in files):
        say("--name is for what is new: runs that are there already keep their names")
    if any(file.fate != "already" for file in files):
        say(
            "no imported cell is ever valid: genai-bench does not say when its requests began, so "
            "the load that it offered cannot be shown"
        )
    if not sent:
        say_what_waits(store, console())
    if any(file.fate == "imported" for file in files):
        say(f"tidemark runs --store {target.uri}; tidemark verify {target.uri}")
    return status


def _check(name: str | None, version: str | None) -> None:
    """Refuse what no plan can hold, before anything is read."""
    from pydantic import ValidationError

    from tidemark.plan.problems import plan_error, problems_of
    from tidemark.plan.sweep import SweepPlan

    fields: dict[str, Any] = {} if name is None else {"name": name}
    if version is not None:
        fields["engine"] = {"version": version}
    try:
        SweepPlan.model_validate(fields)
    except ValidationError as error:
        raise plan_error(problems_of(error, SweepPlan), "import") from None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def _sent(store: Store) -> bool:
    """Send what waits for the store; whether it has everything now."""
    try:
        store.send()
    except StoreError as error:
        say(f"results wait on this machine: {error}", err=True)
    return store.waiting().files == 0


def _say_run(run: ImportedRun) -> None:
    if not run.files:
        return  # each of its files was refused, which is said below
    model = run.model or "a model that is not known"
    earlier = ", ".join(sorted({file.run_id for file in run.files}))
    what = f"{run.run_id}: {model}" if run.run_id else f"{earlier}: {model}, imported before"
    outcome = f", {run.outcome}" if run.outcome else ""
    missing = run.planned - len(run.files)
    more = "1 more level was" if missing == 1 else f"{missing} more levels were"
    planned = f", {more} asked for" if run.run_id and missing > 0 else ""
    say(f"{what}, from {run.folder or './'}{outcome}{planned}")
    for file in run.files:
        there = f", in {file.run_id}" if run.run_id and file.fate == "already" else ""
        say(f"  {_WORDS[file.fate]:<14} {file.path}: {_words(file)}{there}")
        if run.model is None:
            say(f"{'':17}{file.reason}")
        for note in file.notes:
            say(f"{'':17}{note}")
    for note in run.notes:
        say(f"  note: {note}")


_WORDS: Final = {
    "imported": "imported",
    "already": "already there",
    "would_import": "would import",
}


def _words(file: ImportedFile) -> str:
    level = (
        f"batch size {file.batch_size}"
        if file.batch_size > 1
        else f"concurrency {file.concurrency}"
    )
    repeat = f", repeat {file.repeat_idx + 1}" if file.repeat_idx else ""
    failed = f", {file.failed} of them failed" if file.failed else ""
    return (
        f"{file.scenario} {level}{repeat}, {file.requests} requests{failed}, times in {file.unit}"
    )


def _summary(
    files: Sequence[ImportedFile], refused: Sequence[Refused], surveyed: Survey, dry_run: bool
) -> str:
    counts = {fate: sum(file.fate == fate for file in files) for fate in _WORDS}
    told = [f"{count} {_WORDS[fate]}" for fate, count in counts.items() if count]
    told += [f"{len(surveyed.same)} the same bytes"] if surveyed.same else []
    told += [f"{len(refused)} refused"] if refused else []
    if not refused and files and counts["already"] == len(files):
        return f"nothing new: all {len(files)} level files were imported before"
    if dry_run:
        told.append("nothing was written")
    return ", ".join(told) or "nothing was imported"


def _document(
    found: Store,
    target: Store,
    runs: Sequence[ImportedRun],
    surveyed: Survey,
    refused: Sequence[Refused],
    status: int,
) -> dict[str, Any]:
    return {
        "source": found.uri,
        "store": target.uri,
        "exit_status": status,
        "runs": [asdict(run) for run in runs],
        "same": dict(surveyed.same),
        "refused": [asdict(one) for one in refused],
        "files_of_other_kinds": surveyed.passed_over,
    }
