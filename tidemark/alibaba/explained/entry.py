"""One row of the table: a name that a service uses, what it means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["KINDS", "Explanation", "Retry"]

Retry = Literal["never", "at once", "later"]

KINDS: Final = {
    "image pull failure": "why an image cannot be pulled, in the words of a registry",
    "end of container": "why a container ended or a pod was removed (Kubernetes)",
    "log line": "what a program says before it ends",
    "stock and spot": "whether an instance type is to be had, and spot instances taken back",
    "API error": "the Code of a refused call, the same for all services",
    "price error": "the Code of a refused price question (ECS DescribePrice 2014-05-26)",
    "DLC reason code": "ReasonCode of a job (PAI-DLC GetJob 2020-12-03)",
    "exit code": "the number a container or command ended with",
    "waiting reason": "why a container has not started (Kubernetes)",
    "pod event": "a line of GetPodEvents or GetJobEvents, or an event of Kubernetes",
    "connection": "no usable answer came back",
    "HTTP status": "the status of an answer of an API, where its body has no Code",
    "EAS request status": "a status in a stress test's report, or of a call to an EAS service",
    "DLC job status": "Status of a job (PAI-DLC GetJob 2020-12-03)",
    "DLC job sub-status": "SubStatus of a job (PAI-DLC GetJob 2020-12-03)",
    "DLC pod status": "Status of one pod of a job (PAI-DLC GetJob 2020-12-03)",
    "DLC pod sub-status": "SubStatus of one pod of a job (PAI-DLC GetJob 2020-12-03)",
    "EAS stress test status": "Status of a task (EAS DescribeBenchmarkTask 2021-07-01)",
    "EAS service status": "Status of a service (EAS DescribeService 2021-07-01)",
    "workspace status": "Status of a workspace (AIWorkSpace GetWorkspace 2021-02-04)",
    "workload status": "WorkloadStatus of a quota's workload (PaiStudio 2022-01-12)",
    "queue status": "Status of a workload in its quota's queue (PaiStudio 2022-01-12)",
    "quota diagnosis": "which limit holds a workload back (PaiStudio 2022-01-12)",
}
"""Every kind of name, with where it is met. In this order of weight when a text has several."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a name means, and what to do.

    `causes` begin with the likeliest, `remedies` with what to do first. `retry` says whether the
    same call, or the same look at a status, can end differently: never, at once (when the first
    remedy is done), or later. `billed` says who pays what while it stands, None where it costs
    nothing by itself. `also` are other spellings, `signs` regular expressions that find it in a
    longer text, `family` one that whole codes of its family match.
    """

    name: str
    kind: str
    meaning: str
    causes: tuple[str, ...]
    remedies: tuple[str, ...]
    retry: Retry
    billed: str | None = None
    links: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    family: str | None = None

    def document(self) -> dict[str, Any]:
        """For JSON: what a reader wants to know, without how it was found."""
        return {
            "name": self.name,
            "kind": self.kind,
            "meaning": self.meaning,
            "causes": list(self.causes),
            "remedies": list(self.remedies),
            "retry": self.retry,
            "billed": self.billed,
            "links": list(self.links),
        }
