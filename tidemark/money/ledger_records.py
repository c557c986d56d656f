"""What the ledger holds, as values: runs, reservations, leases, and sums of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from tidemark.money.policy import Scope

__all__ = [
    "ENDED",
    "STATES",
    "Lease",
    "LeaseState",
    "LedgerRun",
    "LedgerSummary",
    "Reservation",
    "ScopeTotal",
]

STATES = (
    "quoting",
    "waiting",
    "approved",
    "starting",
    "running",
    "collecting",
    "finished",
    "rejected",
    "cancelled",
    "failed",
)
"""States of a run, in their order; "waiting" is for an approval."""

ENDED = frozenset(STATES[-4:])
"""States that a run stays in."""

LeaseState = Literal["intended", "created", "released"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRun:
    """A run: who wants what (`plan`, whose hash is `plan_hash`), why, and how far it is.

    `night` and `month` are those whose caps it counts to. `state` is one of STATES, `line` says it
    in words. `cancel_asked` is who asked to end it. Times are UTC.
    """

    run_id: str
    plan_hash: str
    night: str
    month: str
    created_at: datetime
    updated_at: datetime
    plan: Mapping[str, Any] = field(default_factory=dict, repr=False)
    flow_run_id: str | None = None
    kind: str = "dlc-benchmark"
    name: str | None = None
    requested_by: str | None = None
    trigger: str = "manual"
    trigger_ref: str | None = None
    state: str = "quoting"
    line: str = ""
    outcome: str | None = None
    exit_status: int | None = None
    cancel_asked: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a run may spend in all (`amount`), and what it spent (`metered`), in `currency`: None
    where nothing was ever reserved or metered. While it is `open`, no one else gets the amount."""

    run_id: str
    amount: Decimal
    currency: str | None
    metered: Decimal
    open: bool

    @property
    def taken(self) -> Decimal:
        """What counts to caps: the amount, or what was spent where that is more or all."""
        return max(self.amount, self.metered) if self.open else self.metered


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A billable resource of this installation, noted before it is made.

    `lease_id` is its name at the service. It belongs to `owner`, with `fence`, until `expires_at`;
    later another may take it over, which raises the fence. The service itself ends the resource by
    `not_after`. `price_per_hour` is of all machines. `billable_s` are machine-seconds, and
    `metered` what they cost, as of `metered_at`. Times are UTC.
    """

    lease_id: str
    run_id: str
    attempt: int
    region: str
    owner: str
    intended_at: datetime
    renewed_at: datetime
    expires_at: datetime
    not_after: datetime
    kind: str = "dlc-job"
    workspace_id: str | None = None
    resource_id: str | None = None
    fence: int = 1
    price_per_hour: Decimal | None = None
    currency: str | None = None
    state: LeaseState = "intended"
    released_at: datetime | None = None
    note: str = ""
    billable_s: float = 0.0
    metered: Decimal | None = None
    metered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScopeTotal:
    """What the runs of a night, a month or a person took: `reserved` is still open and not spent,
    `metered` is spent. A person's key is `month person`."""

    scope: Scope
    key: str
    currency: str
    reserved: Decimal
    metered: Decimal
    runs: int


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """Whose ledger it is, what was taken, and the leases that are not released."""

    installation: str
    totals: tuple[ScopeTotal, ...]
    open_leases: tuple[Lease, ...]
