"""What EAS answers about stress tests and services (EAS 2021-07-01).

Access tokens are masked in all of them but `ServiceEndpoints`, which is asked for to get one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, SecretStr

from tidemark.alibaba.answers import MASK, Answer, Instant, Listed, Number, Text, redacted
from tidemark.alibaba.dlc_status import Phase
from tidemark.alibaba.operations import JsonObject

__all__ = [
    "FAILED_TASK_KEPT_S",
    "STOPPED_TASK_KEPT_S",
    "BenchmarkTask",
    "CreatedTask",
    "EndpointGroup",
    "Service",
    "ServiceEndpoints",
    "ServiceEvent",
    "TaskStatus",
    "task_phase_of",
]

STOPPED_TASK_KEPT_S = 48 * 3600
"""How long the service keeps a task that has ended, with its report, in seconds."""

FAILED_TASK_KEPT_S = 600
"""How long it keeps one that has failed, with its message, in seconds."""


class TaskStatus(StrEnum):
    """The documented statuses of a stress test. `Stopped` is its end, stopped or completed."""

    CREATING = "Creating"
    STARTING = "Starting"
    RUNNING = "Running"
    UPDATING = "Updating"
    STOPPING = "Stopping"
    DELETING = "Deleting"
    STOPPED = "Stopped"
    ERROR = "Error"
    CREATE_FAILED = "CreateFailed"
    UPDATE_FAILED = "UpdateFailed"
    DELETE_FAILED = "DeleteFailed"
    TERMINATED = "Terminated"


_FAILED = frozenset(("Error", "CreateFailed", "UpdateFailed", "DeleteFailed", "Terminated"))
_TASK_PHASES = {
    **dict.fromkeys(("Creating", "Starting"), Phase.PENDING),
    **dict.fromkeys(("Running", "Updating"), Phase.ACTIVE),
    **dict.fromkeys(("Stopping", "Deleting"), Phase.CLOSING),
    **dict.fromkeys(("Stopped", *_FAILED), Phase.TERMINAL),
}


def task_phase_of(status: str) -> Phase:
    """The phase of a stress test's status; `unknown` for one that this version does not know."""
    return _TASK_PHASES.get(status, Phase.UNKNOWN)


class CreatedTask(Answer):
    """A stress test that was accepted (CreateBenchmarkTask); it has not begun yet."""

    task_name: str = Field(min_length=1)
    region: Text = ""
    message: Text = ""
    request_id: Text = ""


class BenchmarkTask(Answer):
    """A stress test (DescribeBenchmarkTask, ListBenchmarkTask). `available_agent` of
    `desired_agent` machines put load on the service; lists do not say how many are desired."""

    task_name: Text = ""
    task_id: Text = ""
    service_name: Text = ""
    region: Text = ""
    status: Text = ""
    reason: Text = ""
    message: Text = ""
    endpoint: Text = ""
    desired_agent: Number = None
    available_agent: Number = None
    create_time: Instant = None
    update_time: Instant = None
    caller_uid: Text = ""
    request_id: Text = ""

    @property
    def phase(self) -> Phase:
        """Where it stands; `unknown` for a status this version does not know."""
        return task_phase_of(self.status)

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended: its report should be fetched now, since it is kept for
        `STOPPED_TASK_KEPT_S`, or `FAILED_TASK_KEPT_S` after a failure."""
        return self.phase is Phase.TERMINAL

    @property
    def failed(self) -> bool:
        """Whether it ended without having done what it was to do; `message` says why."""
        return self.status in _FAILED


class Service(Answer):
    """An inference service (DescribeService, ListServices). A stress test needs a running one."""

    service_name: Text = ""
    service_id: Text = ""
    service_uid: Text = ""
    status: Text = ""
    reason: Text = ""
    message: Text = ""
    region: Text = ""
    internet_endpoint: Text = ""
    intranet_endpoint: Text = ""
    running_instance: Number = None
    pending_instance: Number = None
    total_instance: Number = None
    cpu: Number = None
    gpu: Number = None
    memory_mib: Number = Field(None, alias="Memory")
    image: Text = ""
    resource: Text = ""
    quota_id: Text = ""
    role: Text = ""
    # May hold what scripts and environments hold: not for reprs.
    service_config: Text = Field("", repr=False)
    service_group: Text = ""
    labels_listed: Listed[JsonObject] = Field((), alias="Labels")
    create_time: Instant = None
    update_time: Instant = None
    current_version: Number = None
    latest_version: Number = None
    workspace_id: Text = ""

    @classmethod
    def of(cls, document: JsonObject, action: str) -> Self:
        """The model of an answer, with or without a `Service` around it."""
        inner = document.get("Service")
        fields = dict(inner) if isinstance(inner, Mapping) else dict(document)
        if fields.get("ServiceConfig"):
            fields["ServiceConfig"] = _safe_config(fields["ServiceConfig"])
        return super().of(fields, action)

    @property
    def is_running(self) -> bool:
        """Whether it answers requests."""
        return self.status == "Running"

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return {
            str(each.get("LabelKey")): str(each.get("LabelValue", ""))
            for each in self.labels_listed
        }

    @property
    def config(self) -> dict[str, Any]:
        """What it was deployed with, without secrets; empty where the answer has none."""
        try:
            config = json.loads(self.service_config)
        except ValueError:
            return {}
        return config if isinstance(config, dict) else {}


def _safe_config(config: object) -> str:
    """The configuration, JSON inside a text, without what its names announce as secret."""
    try:
        document = json.loads(config) if isinstance(config, str) else config
    except (ValueError, RecursionError):
        return MASK
    return json.dumps(redacted(document), ensure_ascii=False)


class EndpointGroup(Answer):
    """Where a service answers, by one way into it."""

    endpoint_type: Text = ""
    internet_endpoints: Listed[str] = ()
    intranet_endpoints: Listed[str] = ()
    path_type: Text = ""
    port: Number = None
    backend_id: Text = ""


class ServiceEndpoints(Answer):
    """Where a service answers, and the token that opens it (DescribeServiceEndpoints)."""

    access_token: SecretStr | None = None
    endpoints: Listed[EndpointGroup] = ()

    @classmethod
    def of(cls, document: JsonObject, action: str) -> Self:
        """The model of an answer; the token is taken before it is masked in `wire`."""
        token = document.get("AccessToken")
        answer = super().of(document, action)
        secret = SecretStr(token) if isinstance(token, str) and token else None
        taken = answer.model_copy(update={"access_token": secret})
        taken._wire = answer.wire
        return taken


class ServiceEvent(Answer):
    """Something that happened to a service (DescribeServiceEvent)."""

    time: Instant = None
    type: Text = ""
    reason: Text = ""
    message: Text = ""
