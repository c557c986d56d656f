"""Jobs as GetJob and ListJobs (2020-12-03) describe them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from tidemark.simulator.pai.job import Incarnation, Job, Pod
from tidemark.simulator.pai.job_events import node_name
from tidemark.simulator.pai.job_life import TERMINAL, Restart, Segment

__all__ = ["job_item", "job_view", "wire_time"]

_ECHOED = (
    "JobSpecs",
    "UserCommand",
    "Description",
    "Envs",
    "CustomEnvs",
    "CodeSource",
    "DataSources",
    "ThirdpartyLibs",
    "ThirdpartyLibDir",
    "Settings",
    "UserVpc",
    "CredentialConfig",
    "ElasticSpec",
    "SchedulingStrategy",
)
_DETAIL = ("Pods", "StatusHistory", "RestartRecord", "JobReplicaStatuses")
_NOT_LISTED = ("RestartRecord", "Description", "CustomEnvs")


def wire_time(at_s: float) -> str:
    """A moment as the service writes it, `2026-01-01T00:00:00Z`; empty for one that never comes."""
    if math.isinf(at_s):
        return ""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def job_view(job: Job, now_s: float, *, detail: bool = True) -> dict[str, Any]:
    """The answer of GetJob; without `detail` it lacks pods, histories and replicas."""
    life, request = job.life, job.request
    segment = life.at(now_s)
    restarts = sum(1 for one in life.restarts if one.at_s <= now_s)
    history = _history(job, now_s)
    machine = request.roles[0].machine
    first = {one["Status"]: one["StartTime"] for one in reversed(history)}
    view: dict[str, Any] = {
        "JobId": job.job_id,
        "DisplayName": request.name,
        "JobType": request.job_type,
        "WorkspaceId": request.workspace_id,
        "UserId": job.account_id,
        "TenantId": job.account_id,
        "ClusterId": f"pai-{job.region}",
        "ResourceId": request.resource_id,
        "ResourceType": machine.resource_type if machine else "ECS",
        "ResourceLevel": "L0",
        "Accessibility": job.document.get("Accessibility") or "PRIVATE",
        "Priority": job.document.get("Priority") or 1,
        "Status": segment.status,
        "SubStatus": "Restarting" if segment.status == "Restarting" else "",
        "ReasonCode": segment.reason_code,
        "ReasonMessage": segment.reason_message,
        "RestartTimes": f"{restarts}/{request.most_restarts}",
        "EnabledDebugger": False,
        "Duration": int(max(0.0, min(now_s, life.end_s) - life.running_s)),
        "GmtCreateTime": wire_time(job.created_s),
        "GmtSubmittedTime": first.get("Queuing", ""),
        "GmtRunningTime": first.get("Running", ""),
        "GmtSuccessedTime": first.get("Succeeded", ""),
        "GmtFailedTime": first.get("Failed", ""),
        "GmtStoppedTime": first.get("Stopped", ""),
        "GmtFinishTime": wire_time(life.end_s) if life.end_s <= now_s else "",
        "RequestCPU": int(sum(role.cpu * role.pods for role in request.roles)),
        "RequestGPU": float(sum(role.gpu * role.pods for role in request.roles)),
        "RequestMemory": float(sum(role.memory_gib * role.pods for role in request.roles)),
        "StatusHistory": history,
        "RestartRecord": _restart_record(job, now_s),
        "Pods": [seen for pod in job.pods() if (seen := _pod_view(job, pod, now_s))],
        "JobReplicaStatuses": _replicas(job, now_s),
    }
    document = job.document
    view |= {name: document[name] for name in _ECHOED if document.get(name) not in (None, "")}
    if not detail:
        for name in _DETAIL:
            del view[name]
    return view


def job_item(job: Job, now_s: float) -> dict[str, Any]:
    """The job as an entry of ListJobs: some numbers are texts there."""
    view = job_view(job, now_s)
    nodes = [pod["NodeName"] for pod in view["Pods"] if pod["NodeName"]]
    request = job.request
    limit_s = request.limit_s
    kept = {name: value for name, value in view.items() if name not in _NOT_LISTED}
    return kept | {
        "RequestCPU": view["RequestCPU"],
        "RequestGPU": f"{view['RequestGPU']:g}",
        "RequestMemory": f"{view['RequestMemory']:g}",
        "JobMaxRunningTimeMinutes": 0 if math.isinf(limit_s) else round(limit_s / 60),
        "NodeCount": str(sum(role.pods for role in request.roles)),
        "NodeNames": nodes,
        "EnablePreemptibleJob": any(role.spot for role in request.roles),
        "GmtModifiedTime": wire_time(job.life.at(now_s).start_s),
        "IsDeleted": False,
        "UseOversoldResource": False,
        "Username": "simulator",
    }


def _history(job: Job, now_s: float) -> list[dict[str, Any]]:
    return [_transition(segment, now_s) for segment in job.life.until(now_s)]


def _transition(segment: Segment, now_s: float) -> dict[str, Any]:
    over = segment.end_s <= now_s
    return {
        "Status": segment.status,
        "StartTime": wire_time(segment.start_s),
        "EndTime": wire_time(segment.end_s) if over else "",
        "ReasonCode": segment.reason_code,
        "ReasonMessage": segment.reason_message,
    }


def _restart_record(job: Job, now_s: float) -> list[dict[str, Any]]:
    return [
        {
            "JobRestartCount": number,
            "OccurPhase": "Running",
            "OccurTime": wire_time(restart.at_s),
            "Reason": "SpotEvicted" if restart.evicted else "NodeFailed",
            "RestartStatus": _restart_status(job, restart, now_s),
            "RestartDurationInSec": int(
                min(now_s, restart.running_s, job.life.end_s) - restart.at_s
            ),
        }
        for number, restart in enumerate(job.life.restarts, start=1)
        if restart.at_s <= now_s
    ]


def _restart_status(job: Job, restart: Restart, now_s: float) -> str:
    if restart.running_s <= now_s:
        return "Succeeded"
    return "Failed" if job.life.end_s <= now_s else "Restarting"


def _pod_view(job: Job, pod: Pod, now_s: float) -> dict[str, Any] | None:
    created = pod.at(now_s)
    if not created:
        return None
    views = [_incarnation_view(job, pod, one, now_s) for one in created]
    return views[-1] | {"HistoryPods": views[:-1]}


def _incarnation_view(job: Job, pod: Pod, one: Incarnation, now_s: float) -> dict[str, Any]:
    status, sub_status = _pod_status(job, one, now_s)
    started = one.started_s <= min(now_s, one.end_s)
    over = one.end_s <= now_s
    # Its machine boots before it can be given the pod.
    pull_s = job.life.pull_s if one.node_s == job.life.nodes_s else one.node_s
    placed = pull_s <= min(now_s, one.end_s)
    address = one.address if placed else ""
    return {
        "PodId": pod.pod_id,
        "PodUid": one.uid,
        "Type": pod.kind,
        "Status": status,
        "SubStatus": sub_status,
        "ResourceType": pod.role.machine.resource_type if pod.role.machine else "ECS",
        "Ip": address,
        "PodIps": [{"InterfaceName": "eth0", "Ip": address}] if placed else [],
        "NodeName": node_name(job, one) if placed else "",
        "GmtCreateTime": wire_time(one.created_s),
        "GmtStartTime": wire_time(one.started_s) if started else "",
        "GmtFinishTime": wire_time(one.end_s) if over else "",
        "Duration": round(max(0.0, min(now_s, one.end_s) - one.started_s), 3) if started else 0.0,
    }


def _pod_status(job: Job, one: Incarnation, now_s: float) -> tuple[str, str]:
    if one.end_s <= now_s:
        if one.fate:
            return "Failed", "Evicted" if one.fate == "evicted" else "Normal"
        return job.status(now_s), "Normal"
    if one.started_s <= now_s:
        return "Running", "Normal"
    pull = job.script.image_pull
    failing = pull.fails_after_s is not None and now_s >= job.life.pull_s + pull.fails_after_s
    return "Pending", "ImagePullBackOff" if failing and pull.in_sub_status else "Normal"


def _replicas(job: Job, now_s: float) -> list[dict[str, Any]]:
    ended = job.status(now_s) in TERMINAL
    active: dict[str, int] = {}
    wanted: dict[str, int] = {}
    for pod in job.pods():
        latest = pod.at(now_s)
        has_node = bool(latest) and latest[-1].node_s <= now_s and not ended
        active[pod.kind] = active.get(pod.kind, 0) + has_node
        wanted[pod.kind] = wanted.get(pod.kind, 0) + 1
    return [
        {
            "Type": kind,
            "Active": active[kind],
            "Queuing": 0 if ended else wanted[kind] - active[kind],
            "Dequeued": active[kind],
            "EstimatedPodCount": wanted[kind],
        }
        for kind in wanted
    ]
