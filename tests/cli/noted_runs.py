"""Runs of jobs as the ledger of a folder has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from tidemark.clock import SystemClock
from tidemark.config import load_config
from tidemark.money.ledger import Lease, Ledger, LedgerRun
from tidemark.money.opening import open_ledger
from tidemark.money.price import Price
from tidemark.money.quote import Quote

PLAN_HASH = "a" * 64
PLAN = {"command": "echo tide", "machine": {"spec": "ecs.c6.large"}}
OWNER = "bench-1/4711/0badcafe"


@dataclass
class Noted:
    """The ledger of a home, and what tests write into it."""

    ledger: Ledger

    @classmethod
    def of(cls, home: Path) -> Noted:
        config = load_config({"TIDEMARK_HOME": str(home)}, home.parent)
        return cls(open_ledger(config, SystemClock(), create=True))

    def run(
        self, run_id: str = "20261122t010203-aaaa", state: str = "waiting", **more: object
    ) -> LedgerRun:
        now = datetime.now(UTC)
        given = {
            "run_id": run_id,
            "flow_run_id": f"{run_id[-4:] * 2}-1111-4111-8111-111111111111",
            "name": "nightly",
            "plan_hash": PLAN_HASH,
            "plan": {"plan": PLAN},
            "requested_by": "alice",
            "night": "2026-11-22",
            "month": "2026-11",
            "state": state,
            "line": f"It is {state}",
            "created_at": now,
            "updated_at": now,
        }
        return self.ledger.begin_run(LedgerRun(**{**given, **more}))  # type: ignore[arg-type]

    def quote(
        self, run: LedgerRun, *, number: int = 1, valid_s: float = 900.0, per_hour: str | None = "2"
    ) -> Quote:
        now = datetime.now(UTC)
        price = Price(
            per_hour=None if per_hour is None else Decimal(per_hour),
            currency=None if per_hour is None else "CNY",
            source="ECS DescribePrice (2014-05-26), cn-hangzhou",
            read_at=now,
            reason="ECS did not say it" if per_hour is None else None,
        )
        quote = Quote(
            quote_id=f"{run.run_id}-q{number}",
            run_id=run.run_id,
            plan_hash=PLAN_HASH,
            mode="public",
            spec="ecs.c6.large",
            machine="ecs.c6.large (2 vCPU, 4 GiB)",
            workers=1,
            price=price,
            expected_s=600.0,
            bound_s=3600.0,
            poll_s=90.0,
            unwatched_s=960.0,
            quoted_at=now,
            expires_at=now + timedelta(seconds=valid_s),
        )
        self.ledger.keep_quote(quote)
        return quote

    def lease(
        self,
        run: LedgerRun,
        *,
        left_s: float = 300.0,
        job_id: str | None = None,
        renewed_s: float = 0.0,
    ) -> Lease:
        """A lease that is `left_s` from its end, and was renewed `renewed_s` ago."""
        now = datetime.now(UTC)
        lease = Lease(
            lease_id=f"tidemark-{self.ledger.installation}-{run.run_id}-a1",
            run_id=run.run_id,
            attempt=1,
            region="cn-hangzhou",
            owner=OWNER,
            intended_at=now,
            renewed_at=now - timedelta(seconds=renewed_s),
            expires_at=now + timedelta(seconds=left_s),
            not_after=now + timedelta(hours=2),
            price_per_hour=Decimal(2),
            currency="CNY",
        )
        held, _ = self.ledger.intend(lease)
        return held if job_id is None else self.ledger.created(held, job_id)
