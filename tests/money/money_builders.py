"""Quotes, approvals, runs and leases to begin with, and a clock that is set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tidemark.money.approval import Approval
from tidemark.money.ledger import Lease, Ledger, LedgerRun
from tidemark.money.policy import Cap
from tidemark.money.price import Price
from tidemark.money.quote import Quote

NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
PLAN_HASH = "ab" * 32
OTHER_HASH = "cd" * 32
NIGHT, MONTH = "2026-11-22", "2026-11"


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def time(self) -> float:
        return self.now.timestamp()

    def monotonic(self) -> float:
        return self.now.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def price(per_hour: str | None = "3.60", **more: Any) -> Price:
    given: dict[str, Any] = {
        "per_hour": None if per_hour is None else Decimal(per_hour),
        "currency": None if per_hour is None else "CNY",
        "source": "ECS DescribePrice (2014-05-26), cn-hangzhou",
        "read_at": NOW,
        "reason": "ECS answered without a price" if per_hour is None else None,
    }
    return Price(**{**given, **more})


def quote(run_id: str = "run-1", number: int = 1, **more: Any) -> Quote:
    given: dict[str, Any] = {
        "quote_id": f"{run_id}-q{number}",
        "run_id": run_id,
        "plan_hash": PLAN_HASH,
        "mode": "public",
        "spec": "ecs.gn7i-c8g1.2xlarge",
        "machine": "ecs.gn7i-c8g1.2xlarge (8 vCPU, 30 GiB, 1 × NVIDIA A10 24 GiB)",
        "workers": 2,
        "price": price(),
        "expected_s": 1000.0,
        "bound_s": 3600.0,
        "poll_s": 90.0,
        "unwatched_s": 900.0,
        "quoted_at": NOW,
        "expires_at": NOW + timedelta(minutes=30),
    }
    return Quote(**{**given, **more})


def approval(of: Quote, **more: Any) -> Approval:
    given: dict[str, Any] = {
        "approval_id": f"{of.quote_id}-a1",
        "run_id": of.run_id,
        "quote_id": of.quote_id,
        "plan_hash": of.plan_hash,
        "decision": "approve",
        "up_to": of.bound,
        "currency": of.currency,
        "by": "wang",
        "channel": "terminal",
        "decided_at": NOW + timedelta(minutes=1),
    }
    return Approval(**{**given, **more})


def run(run_id: str = "run-1", **more: Any) -> LedgerRun:
    given: dict[str, Any] = {
        "plan_hash": PLAN_HASH,
        "plan": {"name": "nightly", "workers": 2},
        "night": NIGHT,
        "month": MONTH,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return LedgerRun(run_id=run_id, **{**given, **more})


def lease(run_id: str = "run-1", attempt: int = 1, **more: Any) -> Lease:
    given: dict[str, Any] = {
        "lease_id": f"tidemark-abcd-{run_id}-a{attempt}",
        "region": "cn-hangzhou",
        "owner": "host-1",
        "intended_at": NOW,
        "renewed_at": NOW,
        "expires_at": NOW + timedelta(minutes=5),
        "not_after": NOW + timedelta(hours=2),
        "price_per_hour": Decimal("7.20"),
        "currency": "CNY",
    }
    return Lease(run_id=run_id, attempt=attempt, **{**given, **more})


def night_cap(limit: str = "20", **more: Any) -> Cap:
    return replace(Cap("night", NIGHT, Decimal(limit), "CNY", "per_night"), **more)


def begun(ledger: Ledger, *run_ids: str, **more: Any) -> None:
    for run_id in run_ids:
        ledger.begin_run(run(run_id, **more))


Opener = Callable[..., Ledger]
