"""Services of EAS and their stress tests, shown; and a test stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tidemark.cli.alibaba_session import Session
from tidemark.cli.pai_advice import with_commands
from tidemark.cli.printing import (
    console,
    long_table,
    moment,
    number,
    print_document,
    print_facts,
    say,
    span,
)
from tidemark.errors import ConfigError, TidemarkError

if TYPE_CHECKING:
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.eas import Eas
    from tidemark.alibaba.eas_answers import BenchmarkTask, Service
    from tidemark.alibaba.eas_report import BenchmarkReport, RawReport
    from tidemark.clock import Clock

__all__ = [
    "show_report",
    "show_service",
    "show_services",
    "show_task",
    "show_tasks",
    "stop_task",
    "until_ended",
]

FAILED = 1

_LOOKS_S = (0.5, 1.0, 2.0)
_PERCENTAGES = (50, 90, 95, 99)


def show_services(session: Session, *, as_json: bool) -> None:
    """List the services of a region."""
    from tidemark.alibaba.eas import Eas

    async def ask(account: Account) -> list[Service]:
        return await Eas(account).list_services()

    services = session.run(ask)
    if as_json:
        print_document([service.wire for service in services])
    elif services:
        rows = (
            (
                service.service_name,
                service.status,
                _instances(service),
                number(service.cpu),
                number(service.gpu or None),
                moment(service.create_time),
            )
            for service in services
        )
        headings = ("service", "status", "running", "vCPU", "GPUs", "created")
        console().print(
            long_table(headings, rows, folded=("service",), right=("running", "vCPU", "GPUs"))
        )
    else:
        say(f"there is no service in {session.region_name()}", err=True)


def show_service(session: Session, name: str, *, as_json: bool) -> None:
    """Say what one service does, where it answers, and what its status means."""
    from tidemark.alibaba.eas import Eas

    async def ask(account: Account) -> Service:
        return await Eas(account).describe_service(name)

    service = session.run(ask)
    meaning = _meaning("EAS service status", service.status)
    if as_json:
        print_document({"service": service.wire, **meaning})
        return
    memory_gib = None if service.memory_mib is None else round(service.memory_mib / 1024, 1)
    say(f"{service.service_name}  {service.status}")
    told: dict[str, object] = {
        "message": service.message,
        **meaning,
        "instances": _instances(service),
        "each has": f"{number(service.cpu)} vCPU, {number(memory_gib)} GiB"
        + (f", {number(service.gpu)} GPU" if service.gpu else ""),
        "image": service.image,
        "internet": service.internet_endpoint,
        "intranet": service.intranet_endpoint,
        "workspace": service.workspace_id,
        "quota": service.quota_id,
        "created": moment(service.create_time),
        "updated": moment(service.update_time),
        "labels": ", ".join(f"{key}={value}" for key, value in sorted(service.labels.items())),
    }
    print_facts(told)


def _instances(service: Service) -> str:
    return f"{number(service.running_instance)}/{number(service.total_instance)}"


def show_tasks(session: Session, *, service: str | None, as_json: bool) -> None:
    """List stress tests, the latest last."""

    async def ask(eas: Eas) -> list[BenchmarkTask]:
        return await eas.list_benchmark_tasks(service_name=service)

    tasks = session.run_eas(ask)
    tasks.sort(key=lambda task: (moment(task.create_time), task.task_name))
    if as_json:
        print_document([task.wire for task in tasks])
    elif tasks:
        rows = (
            (task.task_name, task.service_name or "-", task.status, moment(task.create_time))
            for task in tasks
        )
        headings = ("stress test", "service", "status", "created")
        console().print(long_table(headings, rows, folded=("service",)))
    else:
        where = session.region_name()
        say(
            f"there is no stress test in {where}; they are kept for 48 hours after they end",
            err=True,
        )


def show_task(session: Session, name: str, *, as_json: bool) -> None:
    """Say what a stress test does or came to, and what its status means."""

    async def ask(eas: Eas) -> BenchmarkTask:
        return await eas.describe_benchmark_task(name)

    task = session.run_eas(ask)
    meaning = _meaning("EAS stress test status", task.status)
    if as_json:
        print_document({"task": task.wire, **meaning})
        return
    say(f"{task.task_name}  {task.status}")
    told: dict[str, object] = {
        "message": task.message,
        **meaning,
        "service": task.service_name,
        "endpoint": task.endpoint,
        "agents": f"{number(task.available_agent)} of {number(task.desired_agent)}",
        "created": "" if task.create_time is None else moment(task.create_time),
    }
    print_facts(told)
    if not task.failed:
        say(f"what it measured: tidemark eas benchmark report {task.task_name}")


def _meaning(kind: str, word: str) -> dict[str, Any]:
    """What a status means and what to do, as far as that is known offline."""
    from tidemark.alibaba.explanations import explain

    for entry in explain(f"{kind} {word}") if word else ():
        if entry.kind == kind:
            return {
                "means": entry.meaning,
                "do": with_commands(entry.remedies[0], of_job=False),
                "billed": entry.billed,
            }
    return {"means": None, "do": None, "billed": None}


def show_report(
    session: Session, name: str, *, raw: bool, save: Path | None, as_json: bool
) -> None:
    """Print what a stress test measured in five lines, or the service's figures; save those."""
    if save is not None and not save.parent.is_dir():
        raise ConfigError("is in no folder that there is", f"--save {save}", "Create it first")

    async def ask(eas: Eas) -> tuple[BenchmarkTask, BenchmarkReport, str, str]:
        from tidemark.alibaba.errors import NoAnswerError, ServiceError

        task = await eas.describe_benchmark_task(name)
        report = await eas.get_report(name, "RAW")
        if raw:
            return task, report, "", ""
        try:
            return task, report, (await eas.get_report(name, "Report")).report_url, ""
        except (ServiceError, NoAnswerError) as error:
            return task, report, "", error.what  # the figures are worth having without it

    task, report, url, missing = session.run_eas(ask)
    data = report.data
    if data is None:
        raise TidemarkError(
            "the service has no figures of it", name, f"It is {task.status}; ask again later"
        )
    figures = report.wire["Data"]
    if save is not None:
        _write(save, json.dumps(figures, indent=2) + "\n")
    if raw:
        print_document(figures)
        return
    summary = _summary(data)
    if as_json:
        document = {"task_name": name, "status": task.status, **summary}
        print_document(document, as_it_is={"report_url": url})
        return
    state = "" if task.is_terminal else ", so far"
    say(f"{name}  {task.status}{state}")
    print_facts(_summary_facts(summary))
    if url:
        # It may be signed, and opens nothing without its signature.
        shown = "".join(c for c in url if c.isprintable())
        typer.echo(f"  page        {shown}")
    elif missing:
        say(f"its page is not known: {missing}", err=True)


def _summary(data: RawReport) -> dict[str, Any]:
    requests = sum(data.status_code.values()) or data.total or data.count or 0
    return {
        "requests": int(requests),
        "failed_requests": data.failed_count,
        "qps": data.qps,
        # By Little's law: the service does not tell which concurrency was asked for.
        "mean_concurrency": None
        if data.qps is None or data.avg_rt_ms is None
        else data.qps * data.avg_rt_ms / 1000,
        "latency_ms": {
            **{f"p{percentage}": data.latency_ms(percentage) for percentage in _PERCENTAGES},
            "mean": data.avg_rt_ms,
            "max": data.max_rt_ms,
        },
        "seconds": len(data.timestamp_list),
        "sent_bytes": _whole(data.total_send_bytes),
        "received_bytes": _whole(data.total_receive_bytes),
        "status_codes": {
            code: {"requests": count, "means": _meaning("EAS request status", code)["means"]}
            for code, count in sorted(data.status_code.items())
        },
    }


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _summary_facts(summary: Mapping[str, Any]) -> dict[str, object]:
    from rich.filesize import decimal

    requests, failed = summary["requests"], summary["failed_requests"]
    share = f", {failed:,} failed ({failed / requests:.2%})" if failed and requests else ""
    latency = "  ".join(
        f"{name} {number(round(value, 1))}"
        for name, value in summary["latency_ms"].items()
        if value is not None
    )
    sent, received = (
        "-" if summary[name] is None else decimal(summary[name])
        for name in ("sent_bytes", "received_bytes")
    )
    codes = [
        f"{code}: {told['requests']:,}" + (f", {told['means']}" if told["means"] else "")
        for code, told in summary["status_codes"].items()
    ]
    qps, under_way, seconds = summary["qps"], summary["mean_concurrency"], summary["seconds"]
    rate = f"{'-' if qps is None else number(round(qps, 2))} requests per second"
    length = f" over {span(seconds)}" if seconds else ""
    at_once = "" if under_way is None else f", {number(round(under_way, 1))} at a time on average"
    return {
        "requests": f"{requests:,}{share or ', none failed'}",
        "rate": f"{rate}{length}{at_once}",
        "latency ms": latency or "-",
        "traffic": f"{sent} sent, {received} received",
        "status": codes or "-",
    }


def _write(path: Path, text: str) -> None:
    """Write a file whole, or leave what was there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        reason = error.strerror or type(error).__name__
        raise TidemarkError(
            f"cannot be written ({reason})", str(path), "Name a file that can be written"
        ) from error


def stop_task(session: Session, name: str, *, wait_s: float, as_json: bool) -> int:
    """Stop a stress test and see that it stopped; 1 when it had not within `wait_s`."""
    from tidemark.clock import SystemClock

    if not 0 <= wait_s < float("inf"):
        raise ConfigError("is no time to wait", "--wait", "Give seconds, 0 or more")

    async def ask(eas: Eas) -> BenchmarkTask:
        task = await eas.stop_benchmark_task(name)
        return await until_ended(eas, task, wait_s=wait_s, clock=SystemClock())

    task = session.run_eas(ask)
    if as_json:
        print_document({"task_name": name, "status": task.status, "ended": task.is_terminal})
    else:
        say(f"{name}  {task.status}{'' if task.is_terminal else ', not stopped yet'}")
    if not task.is_terminal:
        say(f"it goes on stopping: tidemark eas benchmark show {name}", err=True)
    return FAILED if wait_s and not task.is_terminal else 0


async def until_ended(
    eas: Eas, task: BenchmarkTask, *, wait_s: float, clock: Clock
) -> BenchmarkTask:
    """A stress test as it is when it has ended, or after `wait_s`. Raises AlibabaError."""
    begun, looks = clock.monotonic(), 0
    while not task.is_terminal:
        left_s = wait_s - (clock.monotonic() - begun)
        if left_s <= 0:
            break
        await clock.sleep(min(left_s, _LOOKS_S[min(looks, len(_LOOKS_S) - 1)]))
        looks += 1
        task = await eas.describe_benchmark_task(task.task_name)
    return task
