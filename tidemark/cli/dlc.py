"""`tidemark dlc`: benchmarks and commands in jobs of PAI-DLC, each quoted and approved first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemark.cli.alibaba_session import AsJson, Endpoint, Region, Session

__all__ = ["dlc", "quote"]

dlc = typer.Typer(
    help="Benchmarks and commands in jobs of PAI-DLC: quoted, approved, run, and given back.",
    no_args_is_help=True,
)

JobPlanFile = Annotated[
    str,
    typer.Argument(
        help="YAML file with the plan of a job (tidemark fields job), - for standard input, or "
        "run:ID.",
        metavar="PLAN",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(help="Result store: a path or URI (tidemark store kinds). Default: configured."),
]


def quote(
    file: JobPlanFile,
    store: Annotated[str | None, typer.Option(help="Store in which run:ID is looked up.")] = None,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Say on which machine a job would run, why, and what it would cost. Nothing is created.

    Exit status: 1 if there is no price, with the reason.
    """
    from tidemark.cli.quotes import show_quote

    raise typer.Exit(show_quote(Session(region, endpoint), file, store=store, as_json=as_json))


@dlc.command("run")
def run(
    file: JobPlanFile,
    store: Store = None,
    region: Region = None,
    endpoint: Endpoint = None,
    workspace: Annotated[
        str | None, typer.Option(metavar="ID", help="Workspace. Default: the account's default.")
    ] = None,
    approve_up_to: Annotated[
        str | None,
        typer.Option(
            metavar="SUM",
            help="Answer the quote without asking: yes if the most it can cost is within this "
            "sum, such as 5CNY, else no.",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the HTML report here.", dir_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Run a sweep or a command in a job of PAI-DLC, once its cost is approved.

    At a terminal you are asked. Elsewhere the run waits for `tidemark approve`
    or `tidemark reject`. Ctrl-C stops the job, and keeps its log, what it cost
    and finished cells; a second one leaves at once, and the job to the reaper.

    Exit status: 0 fine, 1 failed or rejected, 2 refused before anything was
    billed, 3 partial, 4 inconclusive.
    """
    from tidemark.cli.dlc_run import run_job
    from tidemark.cli.job_plans import read_job_plan

    raise typer.Exit(
        run_job(
            read_job_plan(file, store),
            store=store,
            session=Session(region, endpoint),
            workspace=workspace,
            approve_up_to=approve_up_to,
            html=html,
            as_json=as_json,
        )
    )


@dlc.command("demo")
def demo(
    directory: Annotated[Path, typer.Option(help="Where all of it is written.")] = Path("demo-dlc"),
) -> None:
    """The whole chain offline, against a simulated account: quote, approval, job, results, bill."""
    from tidemark.cli.dlc_demo import run_demo

    raise typer.Exit(run_demo(directory))
