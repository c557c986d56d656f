"""`tidemark eas`: services of EAS, and their stress tests. Nothing here creates anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidemark.cli.alibaba_session import AsJson, Endpoint, Region, Session

__all__ = ["eas"]

eas = typer.Typer(
    help="Inference services of Alibaba Cloud's EAS, and their stress tests. Nothing here "
    "creates any.",
    no_args_is_help=True,
)
benchmark = typer.Typer(help="Stress tests of services.", no_args_is_help=True)
eas.add_typer(benchmark, name="benchmark")

TaskName = Annotated[str, typer.Argument(metavar="NAME", help="The name of a stress test.")]
Gateway = Annotated[
    bool,
    typer.Option(
        "--gateway",
        help="Ask the API gateway, with the key in DASHSCOPE_API_KEY. A simulator takes the key "
        "sk-simulator.",
    ),
]


@eas.command("services")
def services(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One service, with all about it.")
    ] = None,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """List services (ListServices), or say what one does (DescribeService)."""
    from tidemark.cli.eas_views import show_service, show_services

    session = Session(region, endpoint)
    if name is None:
        show_services(session, as_json=as_json)
    else:
        show_service(session, name, as_json=as_json)


@benchmark.command("list")
def list_tasks(
    service: Annotated[str | None, typer.Option(help="Only tests of this service.")] = None,
    gateway: Gateway = False,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """List stress tests, the latest last (ListBenchmarkTask).

    Tests are kept for 48 hours after they end, and for 10 minutes after they fail.
    """
    from tidemark.cli.eas_views import show_tasks

    show_tasks(Session(region, endpoint, gateway), service=service, as_json=as_json)


@benchmark.command("show")
def show(
    name: TaskName,
    gateway: Gateway = False,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Say what a stress test does or came to (DescribeBenchmarkTask).

    The service does not tell which duration, concurrency and rate it was created with; its report
    says what came of them.
    """
    from tidemark.cli.eas_views import show_task

    show_task(Session(region, endpoint, gateway), name, as_json=as_json)


@benchmark.command("report")
def report(
    name: TaskName,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the figures as the service gave them, as JSON.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write those figures here, too."),
    ] = None,
    gateway: Gateway = False,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Say in five lines what a stress test measured, so far or as a whole; and where its page is.

    DescribeBenchmarkTaskReport. Times are measured from the service's own machines. How many
    requests were under way at a time follows from rate and mean latency: what was asked for is
    not told.
    """
    from tidemark.cli.eas_views import show_report

    show_report(Session(region, endpoint, gateway), name, raw=raw, save=save, as_json=as_json)


@benchmark.command("stop")
def stop(
    name: TaskName,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for it.")] = 60.0,
    gateway: Gateway = False,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Stop a stress test, and see that it stopped (StopBenchmarkTask). Its report is kept.

    Exit status: 1 if it had not stopped in that time.
    """
    from tidemark.cli.eas_views import stop_task

    raise typer.Exit(
        stop_task(Session(region, endpoint, gateway), name, wait_s=wait_s, as_json=as_json)
    )
