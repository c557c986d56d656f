"""Workspaces, and what the queue of a quota says of a workload."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation, Retry

__all__ = ["ENTRIES"]


def _workspace(
    name: str,
    meaning: str,
    causes: tuple[str, ...],
    remedies: tuple[str, ...],
    retry: Retry,
    billed: str | None = None,
) -> Explanation:
    return Explanation(
        name,
        "workspace status",
        meaning,
        causes,
        remedies,
        retry,
        billed,
        links=(pages.LIST_WORKSPACES,),
    )


def _workload(
    name: str,
    kind: str,
    meaning: str,
    causes: tuple[str, ...],
    remedies: tuple[str, ...],
    retry: Retry,
) -> Explanation:
    return Explanation(
        name,
        kind,
        meaning,
        causes,
        remedies,
        retry,
        "The quota costs the same whether the workload runs or waits",
        links=(pages.QUOTAS,),
    )


_WORKSPACES = (
    _workspace(
        "ENABLED",
        "The workspace can be used",
        ("As it should be",),
        ("Create jobs in it",),
        "never",
    ),
    _workspace(
        "INITIALIZING",
        "The workspace is being created, and takes no jobs yet",
        ("It was created a moment ago",),
        ("Wait until it is ENABLED",),
        "later",
    ),
    _workspace(
        "FAILURE",
        "The workspace could not be created",
        (
            "Its name does not fit: 3 to 23 letters, digits or underscores, a letter first",
            "The account lacks a right or a service role that it needs",
        ),
        ("Create another one, in the console if need be: there the reason is shown",),
        "never",
    ),
    _workspace(
        "DISABLED",
        "Somebody switched the workspace off",
        ("An administrator disabled it",),
        ("Have it enabled by an administrator, or use another workspace",),
        "never",
    ),
    _workspace(
        "FROZEN",
        "The workspace is frozen because bills are overdue",
        ("The account has not paid", "The account's balance ran out"),
        ("Settle the bills, then wait until it is ENABLED",),
        "later",
        "What ran before is stopped or may be; what is kept may go on to cost",
    ),
    _workspace(
        "UPDATING",
        "The workspace is being changed",
        ("Somebody changed its settings or its resources",),
        ("Wait until it is ENABLED",),
        "later",
    ),
)

_WORKLOADS = (
    _workload(
        "Pending",
        "workload status",
        "The workload waits in its quota",
        ("The quota is in use by others", "A limit of the quota or of the user is reached"),
        ("Look at its Position in the queue, and at the quota's diagnosis for the limit",),
        "later",
    ),
    _workload(
        "PreAllocation",
        "workload status",
        "The quota has room; the nodes are being assigned",
        ("It has just left the queue",),
        ("Look again in some seconds; if it stays, no single node has enough room",),
        "later",
    ),
    _workload(
        "Running",
        "workload status",
        "The workload has its resources and runs",
        ("It left the queue and its nodes are ready",),
        ("Ask the job itself for more",),
        "later",
    ),
    _workload(
        "Succeeded",
        "workload status",
        "The workload ended well",
        ("It did what it was asked",),
        ("Take the result",),
        "never",
    ),
    _workload(
        "Failed",
        "workload status",
        "The workload ended without success",
        ("Its command failed, or it could not be started",),
        ("Ask the job itself for ReasonCode, ReasonMessage, log and events",),
        "never",
    ),
    _workload(
        "Enqueued",
        "queue status",
        "The workload stands in the queue",
        ("The quota has no room for it yet", "Others stand before it"),
        ("Look at Position; raise its priority while it waits, or ask for less",),
        "later",
    ),
    _workload(
        "Dequeued",
        "queue status",
        "The workload has left the queue",
        ("The quota had room for it", "It was stopped while it waited"),
        ("Ask the job itself for its status",),
        "later",
    ),
)

_LIMITS = (
    _workload(
        "SelfQuotaLimit",
        "quota diagnosis",
        "The quota itself has no room for the workload",
        ("Other workloads of this quota use it",),
        ("Wait for them, stop what is not needed, or have the quota enlarged",),
        "later",
    ),
    _workload(
        "AncestorQuotaLimit",
        "quota diagnosis",
        "A quota above this one has no room",
        ("Sibling quotas have lent, or use, what is left",),
        ("Ask the administrator of the upper quota, or use another one",),
        "later",
    ),
    _workload(
        "UserLimit",
        "quota diagnosis",
        "The user holds as much of the quota as one user may",
        ("Other jobs of the same user",),
        ("Stop one of them, or have the limit for users raised",),
        "later",
    ),
    _workload(
        "QueueStrategyLimit",
        "quota diagnosis",
        "The queue's order lets others go first",
        ("With strict first-in-first-out a large workload in front holds up those behind it",),
        ("Wait, raise the priority, or ask for another strategy of the quota",),
        "later",
    ),
)

ENTRIES: Final = (*_WORKSPACES, *_WORKLOADS, *_LIMITS)
