"""The statuses of a DLC job, and what each means for who waits for it or pays for it.

Source: PAI-DLC 2020-12-03, GetJob. `SucceededReserving` and `FailedReserving` are of jobs whose
outcome is known while their machines are still held, and billed, for `JobReservedMinutes`.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["JobStatus", "Phase", "phase_of"]


class Phase(StrEnum):
    """Where a job stands: `terminal` is the end; `unknown` is waited on, within a deadline."""

    PENDING = "pending"
    ACTIVE = "active"
    CLOSING = "closing"
    RESERVING = "reserving"
    TERMINAL = "terminal"
    UNKNOWN = "unknown"


class JobStatus(StrEnum):
    """The documented statuses."""

    CREATING = "Creating"
    QUEUING = "Queuing"
    BIDDING = "Bidding"
    ENV_PREPARING = "EnvPreparing"
    SANITY_CHECKING = "SanityChecking"
    RUNNING = "Running"
    RESTARTING = "Restarting"
    STOPPING = "Stopping"
    SUCCEEDED_RESERVING = "SucceededReserving"
    FAILED_RESERVING = "FailedReserving"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"


_PHASES = {
    **dict.fromkeys(("Creating", "Queuing", "Bidding", "EnvPreparing"), Phase.PENDING),
    "SanityChecking": Phase.PENDING,
    **dict.fromkeys(("Running", "Restarting"), Phase.ACTIVE),
    "Stopping": Phase.CLOSING,
    **dict.fromkeys(("SucceededReserving", "FailedReserving"), Phase.RESERVING),
    **dict.fromkeys(("Succeeded", "Failed", "Stopped"), Phase.TERMINAL),
    # Not documented, and seen by others: not yet placed; never accepted; gone.
    "Waiting": Phase.PENDING,
    **dict.fromkeys(("SubmitFailed", "Deleted"), Phase.TERMINAL),
}


def phase_of(status: str) -> Phase:
    """The phase of a status; `unknown` for one that this version does not know."""
    return _PHASES.get(status, Phase.UNKNOWN)
