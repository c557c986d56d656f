"""The `tidemark` command: arguments in, exit status out.

Exit status: 0 fine, 1 failed, 2 wrong use, 3 partial, 4 inconclusive.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from tidemark import __version__
from tidemark.cli.alibaba_session import Endpoint, Region, Session
from tidemark.cli.dlc import dlc, quote
from tidemark.cli.eas import eas
from tidemark.cli.engines import engines
from tidemark.cli.imports import import_command
from tidemark.cli.pai import pai
from tidemark.cli.simulators import simulate
from tidemark.cli.stores import stores
from tidemark.config import load_config
from tidemark.errors import ConfigError, PlanError, RefusedError, SecretError, TidemarkError

__all__ = ["app", "main"]

FAILED = 1
WRONG_USE = 2

app = typer.Typer(
    name="tidemark",
    help="How fast is an LLM service, what did knowing cost, and is it slower than yesterday?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(engines, name="engines")
app.add_typer(simulate, name="simulate")
app.add_typer(stores, name="store")
app.add_typer(pai, name="pai")
app.add_typer(eas, name="eas")
app.add_typer(dlc, name="dlc")
app.command("import")(import_command)
app.command("quote")(quote)

Url = Annotated[str | None, typer.Option(help="Endpoint URL, over the one in the plan.")]
Model = Annotated[str | None, typer.Option(help="Model name, over the one in the plan.")]
Tokenizer = Annotated[
    str | None, typer.Option(help="Tokenizer directory or hub name, over the one in the plan.")
]
Store = Annotated[
    str | None,
    typer.Option(help="Result store: a path or URI (tidemark store kinds). Default: configured."),
]
StoreUri = Annotated[
    str | None,
    typer.Argument(help="Result store: a path or URI (tidemark store kinds). Default: configured."),
]
RunId = Annotated[
    str | None,
    typer.Argument(help="Beginning of a run's id, or of its flow run's. Default: the latest."),
]
WaitingRun = Annotated[
    str | None,
    typer.Argument(
        help="Beginning of a run's id, or of its flow run's. Default: the one that waits."
    ),
]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who says so. Default: your name.")]
Hear = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait for the run to hear of it.")
]
PlanKind = Literal["job", "sweep"]
PlanFile = Annotated[
    str,
    typer.Argument(
        help="YAML file (a plan, see tidemark fields sweep, or an OME BenchmarkJob), - for "
        "standard input, or run:ID.",
        metavar="PLAN",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidemark {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """How fast is an LLM service, what did knowing cost, and is it slower than yesterday?"""


@app.command()
def plan(
    file: PlanFile,
    store: Store = None,
    url: Url = None,
    model: Model = None,
    tokenizer: Tokenizer = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the cells of a plan, how long they may take and what would be written; start nothing."""
    from tidemark.cli.plans import read_plan, show_plan

    read = read_plan(file, url=url, model=model, tokenizer=tokenizer, store=store)
    show_plan(read, store, as_json=as_json)


@app.command()
def fields(
    kind: Annotated[PlanKind, typer.Argument(help="Whose fields.")],
    part: Annotated[
        str | None, typer.Argument(metavar="FIELD", help="Only a field and those below it.")
    ] = None,
    example: Annotated[
        bool,
        typer.Option("--example", help="Print a plan to begin with: all else in it is a comment."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what can be written into a plan: each field with its kind, default, unit and meaning.

    The plan of a job is for `tidemark quote` and `tidemark dlc run`, that of a
    sweep for `tidemark plan` and `tidemark sweep`.
    """
    from tidemark.cli.plan_fields import show_fields

    show_fields(kind, part, example=example, as_json=as_json)


@app.command()
def sweep(
    file: PlanFile,
    store: Store = None,
    round_name: Annotated[
        str | None,
        typer.Option(
            "--round",
            help="Name of the occasion: finished valid cells of the same round are not measured "
            "again. Default: a new one.",
        ),
    ] = None,
    reuse_valid: Annotated[
        bool, typer.Option("--reuse-valid", help="Take over valid cells of other rounds too.")
    ] = False,
    url: Url = None,
    model: Model = None,
    tokenizer: Tokenizer = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the HTML report here.", dir_okay=False)
    ] = None,
    cell: Annotated[
        list[str] | None, typer.Option(help="Measure only cells whose id begins so; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Measure every cell of a plan, keep the results, and report."""
    from tidemark.cli.plans import read_plan
    from tidemark.cli.run import run_sweep

    read = read_plan(file, url=url, model=model, tokenizer=tokenizer, store=store)
    raise typer.Exit(
        run_sweep(
            read,
            store=store,
            round_name=round_name,
            html=html,
            as_json=as_json,
            only=cell or (),
            reuse_valid=reuse_valid,
        )
    )


@app.command()
def report(
    run: Annotated[str | None, typer.Argument(help="Run id. Default: the latest run.")] = None,
    store: Store = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the HTML report here.", dir_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Report a run that is in a store."""
    from tidemark.cli.reports import show_report

    config = load_config(os.environ, Path.cwd())
    raise typer.Exit(show_report(store or config.store, run, html=html, as_json=as_json))


@app.command()
def runs(
    store: Store = None,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only runs that wait for approval, and how to answer.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List a store's runs: finished, and at work; and runs of jobs that are underway."""
    from tidemark.cli.approvals import show_waiting
    from tidemark.cli.runs import show_runs

    if waiting:
        show_waiting(as_json=as_json)
        return
    show_runs(store or load_config(os.environ, Path.cwd()).store, as_json=as_json)


@app.command()
def status(
    run: RunId = None,
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a run is doing, or what came of it."""
    from tidemark.cli.runs import show_status

    uri = store or load_config(os.environ, Path.cwd()).store
    raise typer.Exit(show_status(uri, run, as_json=as_json))


@app.command()
def cancel(
    run: Annotated[str, typer.Argument(help="Beginning of a run's id, or of its flow run's.")],
    store: Store = None,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for it.")] = 60.0,
) -> None:
    """Ask a run to stop. Its finished cells are kept, and its round can be gone on with."""
    from tidemark.cli.runs import cancel_run

    uri = store or load_config(os.environ, Path.cwd()).store
    raise typer.Exit(cancel_run(uri, run, wait_s=wait_s))


@app.command()
def approve(
    run: WaitingRun = None,
    up_to: Annotated[
        str | None,
        typer.Option(
            metavar="SUM",
            help="Yes without a question, if the most it can cost is within this sum, such as "
            "5CNY; else nothing is noted.",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Yes without a question, to the quote that is shown.")
    ] = False,
    by: By = None,
    wait_s: Hear = 15.0,
) -> None:
    """Show the quote that a run waits with, and say yes to the most that it can cost.

    At a terminal you are asked; elsewhere --up-to or --yes is needed.

    Exit status: 0 the run goes on, 1 you said no, 2 there is nothing to answer
    or nobody to ask, 3 the answer is noted and the run has not heard of it, or
    its quote had expired and it asks again.
    """
    from tidemark.cli.approvals import answer_run

    raise typer.Exit(answer_run(run, "approve", by=by, up_to=up_to, yes=yes, wait_s=wait_s))


@app.command()
def reject(
    run: WaitingRun = None,
    *,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    by: By = None,
    wait_s: Hear = 15.0,
) -> None:
    """Say no to the quote that a run waits with: the run ends, and nothing is created."""
    from tidemark.cli.approvals import answer_run

    raise typer.Exit(answer_run(run, "reject", by=by, reason=reason, wait_s=wait_s))


@app.command()
def ledger(
    run: Annotated[
        str | None, typer.Option(help="All that is noted of the run whose id begins so.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what nights, months and persons reserved and spent, what is held, and the last runs."""
    from tidemark.cli.ledger import show_ledger, show_noted

    if run is not None:
        show_noted(run, as_json=as_json)
    else:
        show_ledger(as_json=as_json)


@app.command()
def reap(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    moved: Annotated[
        bool,
        typer.Option("--moved", help="The ledger's file was moved here: no other copy is in use."),
    ] = False,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Stop jobs of this installation that nobody looks after any more, and nothing else.

    Without --region it looks where leases are open, and in the configured
    region. Exit status: 1 if something could not be stopped or looked at, 2 if
    the ledger is not there, empty, a copy, or another installation's: nothing
    is touched then.
    """
    from tidemark.cli.reap import reap_all

    session = Session(region, endpoint)
    raise typer.Exit(reap_all(session, dry_run=dry_run, moved=moved, as_json=as_json))


@app.command()
def verify(
    store: StoreUri = None,
    run: Annotated[
        str | None, typer.Option(help="Only the run whose id begins so, and what it counts.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: as many as processors.")
    ] = None,
) -> None:
    """Make every row of a store again from its raw output, and say where a stored one differs.

    Exit status: 0 all as rebuilt (other rules and notes are told), 1 something is damaged or does
    not follow, 3 a part could not be verified, 4 nothing could.
    """
    from tidemark.cli.verify import verify_store

    uri = store or load_config(os.environ, Path.cwd()).store
    raise typer.Exit(verify_store(uri, run=run, as_json=as_json, jobs=jobs))


@app.command()
def explain(
    text: Annotated[
        list[str] | None,
        typer.Argument(
            help="A code, a status, an exit code, a pasted error or event; - for standard input.",
            metavar="CODE",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what an Alibaba Cloud or PAI code, status or error text means, and what to do, offline.

    Without an argument it lists what can be explained. Exit status: 1 if nothing is known.
    """
    from tidemark.cli.explain import explain_text

    raise typer.Exit(explain_text(text or (), as_json=as_json))


@app.command()
def config() -> None:
    """Show the configuration and where each value comes from."""
    from tidemark.cli.configured import show_config

    show_config(load_config(os.environ, Path.cwd()))


@app.command()
def demo(
    directory: Annotated[Path, typer.Option(help="Where results are written.")] = Path("demo"),
) -> None:
    """A benchmark from end to end, offline, against a simulated endpoint."""
    from tidemark.cli.demo import run_demo

    raise typer.Exit(run_demo(directory))


def main() -> None:
    """Run the command; errors become one line on standard error and an exit status."""
    console = Console(stderr=True, highlight=False)
    try:
        app()
    except (PlanError, ConfigError, RefusedError, SecretError) as error:
        console.print(f"[bold red]error:[/] {_escape(error)}", soft_wrap=True)
        raise SystemExit(WRONG_USE) from None
    except TidemarkError as error:
        console.print(f"[bold red]error:[/] {_escape(error)}", soft_wrap=True)
        raise SystemExit(FAILED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(FAILED) from None


def _escape(error: TidemarkError) -> str:
    from rich.markup import escape

    # What a server said may be in it, and is not to steer a terminal.
    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(error)))
