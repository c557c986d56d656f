"""`tidemark pai`: jobs, images, prices and workspaces of PAI. Nothing here creates anything."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tidemark.cli.alibaba_session import AsJson, Endpoint, Region, Session

__all__ = ["pai"]

pai = typer.Typer(
    help="Jobs, images, prices and workspaces of Alibaba Cloud's PAI. Nothing here creates any.",
    no_args_is_help=True,
)

JobId = Annotated[str, typer.Argument(metavar="ID", help="A job's id, such as dlc1example.")]
Workspace = Annotated[str | None, typer.Option(help="Id of the workspace. Default: the service's.")]
Pod = Annotated[str | None, typer.Option(help="One pod: its id, or the end of it (worker-0).")]
Chip = Annotated[
    Literal["CPU", "GPU"] | None,
    typer.Option(help="Images for this chip only.", case_sensitive=False),
]
Wait = Annotated[float, typer.Option("--wait", help="Seconds to wait for it to stop.")]


@pai.command("specs")
def specs(
    accelerator: Annotated[
        Literal["CPU", "GPU"] | None,
        typer.Option(help="Only types of this kind.", case_sensitive=False),
    ] = None,
    sort: Annotated[
        Literal["cpu", "gpu", "memory"] | None,
        typer.Option(help="Sort by it. Default: the service's order."),
    ] = None,
    order: Annotated[Literal["asc", "desc"], typer.Option(help="Which end comes first.")] = "asc",
    available: Annotated[bool, typer.Option("--available", help="Only what is in stock.")] = False,
    name: Annotated[
        str | None, typer.Option(metavar="PART", help="Only types with this in their name.")
    ] = None,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """List the instance types that jobs can run on (ListEcsSpecs).

    GPUs: how many, which, and the memory of each. spot: what a spot machine
    costs at present, as a share of the full price; none: there are no more.
    """
    from tidemark.cli.pai_offers import show_specs

    show_specs(
        Session(region, endpoint),
        accelerator=accelerator,
        sort=sort,
        order=order,
        available=available,
        name=name,
        as_json=as_json,
    )


@pai.command("images")
def images(
    chip: Chip = None,
    framework: Annotated[
        str | None, typer.Option(help="Only images of a framework, such as pytorch.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="PART", help="Only images with this in their name.")
    ] = None,
    resolve: Annotated[
        str | None,
        typer.Option(
            metavar="JOBTYPE",
            help="Say which image a kind of job gets that names none, such as PyTorchJob.",
        ),
    ] = None,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """List the official images that jobs can run (ListImages), or the one that would be chosen."""
    from tidemark.cli.pai_offers import resolve_images, show_images

    session = Session(region, endpoint)
    if resolve is not None:
        for option, given in (("--framework", framework), ("--name", name)):
            if given is not None:
                raise typer.BadParameter("says nothing beside --resolve", param_hint=option)
        raise typer.Exit(resolve_images(session, resolve, chip=chip, as_json=as_json))
    show_images(session, chip=chip, framework=framework, name=name, as_json=as_json)


@pai.command("price")
def price(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="An instance type, such as ecs.c6.large.")
    ],
    workers: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    hours: Annotated[float | None, typer.Option(help="Hours, for a sum.")] = None,
    disk_gib: Annotated[
        int, typer.Option("--disk-gib", min=1, help="Size of the system disk in GiB.")
    ] = 120,
    spot: Annotated[bool, typer.Option("--spot", help="As a spot machine.")] = False,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Say what machines of PAI's public pool cost, by ECS's list (DescribePrice).

    Exit status: 1 if there is no price, with the reason.
    """
    from tidemark.cli.pai_offers import show_price

    raise typer.Exit(
        show_price(
            Session(region, endpoint),
            spec,
            workers=workers,
            hours=hours,
            disk_gib=disk_gib,
            spot=spot,
            as_json=as_json,
        )
    )


@pai.command("workspaces")
def workspaces(region: Region = None, endpoint: Endpoint = None, as_json: AsJson = False) -> None:
    """List workspaces, and say which one a job goes to that names none, and why."""
    from tidemark.cli.pai_offers import show_workspaces

    show_workspaces(Session(region, endpoint), as_json=as_json)


@pai.command("jobs")
def jobs(
    workspace: Workspace = None,
    name: Annotated[
        str | None, typer.Option(metavar="PART", help="Only jobs with this in their name.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="--name is the whole name, in this case.")
    ] = False,
    status: Annotated[str | None, typer.Option(help="Only jobs of a status: Running…")] = None,
    days: Annotated[float, typer.Option(help="How far to look back.")] = 7.0,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only with this tag; repeatable.")
    ] = None,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, the latest last (ListJobs)."""
    from tidemark.cli.pai_jobs import show_jobs

    show_jobs(
        Session(region, endpoint),
        workspace=workspace,
        name=name,
        exact=exact,
        status=status,
        days=days,
        tags=tag or (),
        as_json=as_json,
    )


@pai.command("job")
def job(
    job_id: JobId, region: Region = None, endpoint: Endpoint = None, as_json: AsJson = False
) -> None:
    """Say what a job does or came to, what that means, and how long each phase took (GetJob)."""
    from tidemark.cli.pai_jobs import show_job

    show_job(Session(region, endpoint), job_id, as_json=as_json)


@pai.command("logs")
def logs(
    job_id: JobId,
    pod: Pod = None,
    lines: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the last lines of each pod.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; with --follow, one object a line.")
    ] = False,
) -> None:
    """Print what the pods of a job printed (GetPodLogs)."""
    from tidemark.cli.pai_logs import follow_logs, show_logs

    show = follow_logs if follow else show_logs
    show(Session(region, endpoint), job_id, pod=pod, lines=lines, as_json=as_json)


@pai.command("events")
def events(
    job_id: JobId,
    pod: Pod = None,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Print what happened to a job and its pods in the last seven days (GetJobEvents).

    This is where an image that cannot be pulled shows. Times are taken for UTC.
    """
    from tidemark.cli.pai_jobs import show_events

    show_events(Session(region, endpoint), job_id, pod=pod, as_json=as_json)


@pai.command("stop")
def stop(
    job_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs.")],
    wait_s: Wait = 60.0,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Stop jobs, and see that they stopped (StopJob). One that has ended is as it was wanted.

    Exit status: 1 if none of them has stopped, 3 if only some have.
    """
    from tidemark.cli.pai_endings import stop_jobs

    raise typer.Exit(stop_jobs(Session(region, endpoint), job_ids, wait_s=wait_s, as_json=as_json))


@pai.command("cleanup")
def cleanup(
    status: Annotated[str, typer.Option(help="Jobs of this status.")] = "Failed",
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete jobs, too: with their logs and events.")
    ] = False,
    workspace: Workspace = None,
    everyones: Annotated[
        bool,
        typer.Option(
            "--including-jobs-that-this-tool-did-not-create", help="And not only its own."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    wait_s: Wait = 60.0,
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Stop jobs of a status that still hold machines, and with --delete delete them.

    Shows first what it would do. In a terminal it then asks; elsewhere, and
    with --json, nothing is done without --yes. Jobs Failed include those that
    failed and hold their machines. The jobs of others are touched only with
    --including-jobs-that-this-tool-did-not-create.
    """
    from tidemark.cli.pai_endings import clean_up_jobs

    raise typer.Exit(
        clean_up_jobs(
            Session(region, endpoint),
            status=status,
            delete=delete,
            workspace=workspace,
            everyones=everyones,
            dry_run=dry_run,
            yes=yes,
            wait_s=wait_s,
            as_json=as_json,
        )
    )


@pai.command("workload")
def workload(
    workload_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A workload's id.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="In place of the id; the newest is meant.")] = (
        None
    ),
    workspace: Annotated[str | None, typer.Option(help="Id of its workspace.")] = None,
    provider: Annotated[
        Literal["dlc", "paistudio", "document"],
        typer.Option(help="Who tells: DLC's jobs, the queues of quotas, or the workload API."),
    ] = "dlc",
    region: Region = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Say what a workload is doing, in the words of PAI's workload API (GetWorkloadInfo)."""
    from tidemark.cli.pai_workload import show_workload

    show_workload(
        Session(region, endpoint),
        workload_id,
        name=name,
        workspace=workspace,
        provider=provider,
        as_json=as_json,
    )
