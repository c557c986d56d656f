"""What DLC answers: specs, jobs, pods, logs, events, metrics (PAI-DLC 2020-12-03)."""

from __future__ import annotations

import re
from datetime import datetime

from pydantic import Field

from tidemark.alibaba.answers import Answer, Instant, Listed, Number, Text
from tidemark.alibaba.dlc_status import Phase, phase_of
from tidemark.alibaba.operations import JsonObject

__all__ = [
    "EcsSpec",
    "Event",
    "Job",
    "JobMetrics",
    "JobPage",
    "Pod",
    "PodLogs",
    "PodMetrics",
    "StatusPeriod",
]

# Some answers give memory in MiB where others give GiB: no machine has so many GiB.
_LEAST_MIB = 4096


class EcsSpec(Answer):
    """An instance type that DLC offers (ListEcsSpecs)."""

    instance_type: str
    accelerator_type: Text = ""
    cpu: Number = None
    gpu: Number = None
    gpu_type: Text = ""
    gpu_memory: Number = None
    memory: Number = None
    is_available: bool | None = None
    payment_types: Listed[str] = ()
    spot_stock_status: Text = ""
    non_protect_spot_discount: Number = None
    resource_type: Text = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it has a GPU: by its accelerator type, since names do not tell."""
        return self.accelerator_type.upper() == "GPU"

    @property
    def memory_gib(self) -> float | None:
        """Memory in GiB."""
        if self.memory is None:
            return None
        return self.memory / 1024 if self.memory >= _LEAST_MIB else self.memory


class StatusPeriod(Answer):
    """How long a job stood in one status."""

    status: Text = ""
    start_time: Instant = None
    end_time: Instant = None
    reason_code: Text = ""
    reason_message: Text = ""


class Pod(Answer):
    """A pod of a job, with those it replaced."""

    pod_id: Text = ""
    pod_uid: Text = ""
    type: Text = ""
    status: Text = ""
    sub_status: Text = ""
    ip: Text = ""
    node_name: Text = ""
    gmt_create_time: Instant = None
    gmt_start_time: Instant = None
    gmt_finish_time: Instant = None
    duration_s: Number = Field(None, alias="Duration")
    history_pods: Listed[Pod] = ()

    @property
    def evicted(self) -> bool:
        """Whether its machine was taken back."""
        return self.sub_status == "Evicted"


class Job(Answer):
    """A job, as GetJob and ListJobs have it. Times are UTC and None while they have not come."""

    job_id: str
    display_name: Text = ""
    job_type: Text = ""
    status: Text = ""
    sub_status: Text = ""
    reason_code: Text = ""
    reason_message: Text = ""
    workspace_id: Text = ""
    workspace_name: Text = ""
    user_id: Text = ""
    tenant_id: Text = ""
    username: Text = ""
    resource_id: Text = ""
    resource_type: Text = ""
    priority: Number = None
    duration_s: Number = Field(None, alias="Duration")
    gmt_create_time: Instant = None
    gmt_submitted_time: Instant = None
    gmt_running_time: Instant = None
    gmt_successed_time: Instant = None
    gmt_failed_time: Instant = None
    gmt_stopped_time: Instant = None
    gmt_finish_time: Instant = None
    restart_times: Text = ""
    status_history: Listed[StatusPeriod] = ()
    pods: Listed[Pod] = ()
    settings: JsonObject | None = None
    user_command: Text = ""
    request_cpu: Number = Field(None, alias="RequestCPU")
    request_gpu: Number = Field(None, alias="RequestGPU")
    request_memory: Number = None

    @property
    def phase(self) -> Phase:
        """Where it stands; `unknown` for a status this version does not know."""
        return phase_of(self.status)

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended and holds no machine any more."""
        return self.phase is Phase.TERMINAL

    @property
    def tags(self) -> dict[str, str]:
        """The tags it was created with."""
        tags = (self.settings or {}).get("Tags")
        return {str(k): str(v) for k, v in tags.items()} if isinstance(tags, dict) else {}

    @property
    def restarts(self) -> tuple[int, int] | None:
        """How often it was started again, and how often it may be; None where it does not say."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", self.restart_times.strip())
        return (int(found[1]), int(found[2])) if found else None

    def age_key(self) -> tuple[bool, str, str]:
        """Sorts jobs from the oldest on, by time of creation and then by id."""
        created = self.gmt_create_time
        return created is None, created.isoformat() if created else "", self.job_id

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, by whichever of its times says so."""
        if not self.is_terminal:
            return None
        return (
            self.gmt_finish_time
            or self.gmt_successed_time
            or self.gmt_failed_time
            or self.gmt_stopped_time
        )


class JobPage(Answer):
    """One page of ListJobs."""

    jobs: Listed[Job] = ()
    total_count: Number = None


class PodLogs(Answer):
    """Lines that a pod printed (GetPodLogs)."""

    job_id: Text = ""
    pod_id: Text = ""
    logs: Listed[str] = ()


class Event(Answer):
    """Something that happened to a job or pod: `text` as it came, `at` where it begins with a
    time (the service gives none of its zone; UTC is assumed)."""

    text: str
    at: Instant = None

    @classmethod
    def parse(cls, line: str) -> Event:
        """From `YYYY-MM-DD HH:MM:SS message`, or any other text."""
        found = re.match(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:Z|\b)\s*(.*)", line, re.DOTALL)
        if not found:
            return cls(text=line)
        return cls.model_validate({"text": found[2], "at": found[1]})


class PodMetrics(Answer):
    """A pod's series: `Metrics` as `Time` (milliseconds since 1970) and `Value`."""

    pod_id: Text = ""
    metrics: Listed[JsonObject] = ()

    @property
    def points(self) -> list[tuple[float, float]]:
        """Seconds since 1970-01-01 UTC, and the value there; what is no number is left out."""
        pairs = [(each.get("Time"), each.get("Value")) for each in self.metrics]
        return [
            (float(time_ms) / 1000, float(value))
            for time_ms, value in pairs
            if isinstance(time_ms, int | float) and isinstance(value, int | float)
        ]


class JobMetrics(Answer):
    """Use of CPU, GPU, memory and network over time (GetJobMetrics)."""

    job_id: Text = ""
    pod_metrics: Listed[PodMetrics] = ()
