"""Which jobs ListJobs (2020-12-03) means, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tidemark.simulator.pai.job import Job
from tidemark.simulator.pai.json_text import json_value
from tidemark.simulator.pai.phases import parse_instant
from tidemark.simulator.pai.wire import Call, refuse

__all__ = ["listed"]

_WINDOW_S = 7 * 86400.0
_SORTS: dict[str, Callable[[Job, float], Any]] = {
    "DisplayName": lambda job, _: job.request.name,
    "JobType": lambda job, _: job.request.job_type,
    "Status": lambda job, now_s: job.status(now_s),
    "GmtCreateTime": lambda job, _: job.created_s,
    "GmtFinishTime": lambda job, _: job.life.end_s,
}


def listed(jobs: Iterable[Job], call: Call, default_workspace_id: str) -> list[Job]:
    """The jobs that match the query, sorted. Without a time those of the last seven days; without
    a workspace those of the default one, unless all are asked for."""
    now_s, query = call.now_s, call.query
    found = [job for job in jobs if job.created_s + job.script.visible_after_s <= now_s]
    if not (call.flag("FromAllWorkspaces", False) and call.flag("ShowOwn", False)):
        workspace_id = query.get("WorkspaceId") or default_workspace_id
        found = [job for job in found if job.request.workspace_id == workspace_id]
    elif query.get("WorkspaceId"):
        found = [job for job in found if job.request.workspace_id == query["WorkspaceId"]]
    start = query.get("StartTime")
    end = query.get("EndTime")
    end_s = parse_instant(end, "EndTime") if end else now_s
    # A time is given in whole seconds, and what was created within the last one counts.
    start_s = parse_instant(start, "StartTime") if start else now_s - _WINDOW_S
    found = [job for job in found if start_s <= job.created_s < end_s + 1]
    for matches in _filters(call):
        found = [job for job in found if matches(job)]
    return _sorted(found, call)


def _filters(call: Call) -> Iterable[Callable[[Job], bool]]:
    query, now_s = call.query, call.now_s
    if query.get("JobId"):
        wanted = {query["JobId"].lower()}
        yield lambda job: job.job_id in wanted
    elif query.get("JobIds"):
        several = {text.strip().lower() for text in query["JobIds"].split(",")}
        yield lambda job: job.job_id in several
    if query.get("DisplayName"):
        part = query["DisplayName"].lower()
        yield lambda job: part in job.request.name.lower()
    if query.get("Status"):
        yield lambda job: job.status(now_s) == query["Status"]
    if query.get("JobType"):
        yield lambda job: job.request.job_type == query["JobType"]
    if query.get("Tags"):
        tags = _tags(query["Tags"])
        yield lambda job: tags.items() <= (_settings(job).get("Tags") or {}).items()
    if query.get("ResourceId"):
        yield lambda job: job.request.resource_id == query["ResourceId"]
    if query.get("ResourceIds"):
        quotas = set(query["ResourceIds"].split(","))
        yield lambda job: job.request.resource_id in quotas
    if query.get("PaymentType"):
        yield lambda job: _payment(job) == query["PaymentType"]
    if query.get("Accessibility"):
        yield lambda job: (job.document.get("Accessibility") or "PRIVATE") == query["Accessibility"]
    if query.get("UserIdForFilter"):
        yield lambda job: job.account_id == query["UserIdForFilter"]
    for name in ("BusinessUserId", "Caller", "PipelineId"):
        if query.get(name):
            yield lambda job, name=name: _settings(job).get(name) == query[name]  # type: ignore[misc]
    if query.get("TemplateId"):
        yield lambda job: job.document.get("TemplateId") == query["TemplateId"]
    searches: dict[str, Callable[[Job], str]] = {
        "Description": lambda job: str(job.document.get("Description") or ""),
        "UserCommandSearch": lambda job: str(job.document["UserCommand"]),
        "ImageSearch": lambda job: " ".join(role.image for role in job.request.roles),
        "ReasonSearch": lambda job: job.life.at(now_s).reason_message,
    }
    for name, text_of in searches.items():
        if query.get(name):
            yield _contains(query[name].lower(), text_of)


def _contains(part: str, text_of: Callable[[Job], str]) -> Callable[[Job], bool]:
    return lambda job: part in text_of(job).lower()


def _settings(job: Job) -> dict[str, Any]:
    return job.document.get("Settings") or {}


def _payment(job: Job) -> str:
    if job.request.resource_id:
        return "PrePaid"
    return "Spot" if any(role.spot for role in job.request.roles) else "PostPaid"


def _tags(text: str) -> dict[str, str]:
    try:
        tags = json_value(text)
    except ValueError:
        tags = None
    if not isinstance(tags, dict) or any(not isinstance(one, str) for one in tags.values()):
        refuse(
            400, "InvalidParameter", "The specified parameter Tags is not a JSON map of strings."
        )
    return tags


def _sorted(jobs: list[Job], call: Call) -> list[Job]:
    by = call.query.get("SortBy") or "GmtCreateTime"
    if by not in _SORTS:
        refuse(
            400,
            "InvalidParameter",
            f"The specified parameter SortBy is none of {', '.join(_SORTS)}.",
        )
    order = (call.query.get("Order") or "desc").lower()
    if order not in ("asc", "desc"):
        refuse(400, "InvalidParameter", "The specified parameter Order is neither asc nor desc.")
    return sorted(
        jobs,
        key=lambda job: (_SORTS[by](job, call.now_s), job.created_s, job.job_id),
        reverse=order == "desc",
    )
