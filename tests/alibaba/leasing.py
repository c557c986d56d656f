"""A simulated cloud with a ledger beside it, and runs whose jobs are under leases."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from cloud import LEAVE, Cloud, cloud, request

from tidemark.alibaba.adoption import Adopted
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.job_names import job_name, job_tags
from tidemark.alibaba.leased_jobs import Released, release, start_job
from tidemark.alibaba.reaping import ReapReport, reap
from tidemark.clock import Clock
from tidemark.money.ledger import Lease, Ledger, LedgerRun
from tidemark.simulator.pai.world import World

INSTALLATION = "abc123def456"
MACHINE = "ecs.c6.large"
TTL_S = 300.0
P = ParamSpec("P")
T = TypeVar("T")


def machine_price() -> Decimal:
    spec = World().spec(MACHINE)
    assert spec is not None
    assert spec.price_per_hour is not None
    return spec.price_per_hour


class InLine(ThreadPoolExecutor):
    """Runs what it is given at once: a clock that jumps while a thread works would make each run
    of a test another one."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


@dataclass
class Office:
    """One installation: its cloud, its ledger's file, and whoever has the ledger open."""

    cloud: Cloud
    path: Path
    ledgers: list[Ledger] = field(default_factory=list)

    @property
    def clock(self) -> Clock:
        return self.cloud.clock

    @property
    def ledger(self) -> Ledger:
        return self.ledgers[0]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)

    def open(self, path: Path | None = None, **more: Any) -> Ledger:
        given = {"installation": INSTALLATION, "clock": self.clock, "patience_s": 0.02, **more}
        ledger = Ledger.open(f"sqlite:///{path or self.path}", **given)
        self.ledgers.append(ledger)
        return ledger

    @contextmanager
    def away(self) -> Iterator[None]:
        """Meanwhile nobody reaches the ledger: another has its file for itself."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("PRAGMA user_version = 0")
            yield
        finally:
            connection.close()

    async def away_for(self, seconds: float) -> None:
        with self.away():
            await self.clock.sleep(seconds)

    def begin(self, run_id: str = "run1", *, amount: str | None = "10") -> LedgerRun:
        now = self.now()
        run = self.ledger.begin_run(
            LedgerRun(
                run_id=run_id,
                plan_hash="0" * 64,
                night="2026-01-01",
                month="2026-01",
                created_at=now,
                updated_at=now,
                state="running",
            )
        )
        if amount is not None:
            self.ledger.reserve(run_id, Decimal(amount), "CNY", [])
        return run

    def lease(self, run_id: str = "run1", attempt: int = 1, **more: Any) -> Lease:
        now = self.now()
        given: dict[str, Any] = {
            "lease_id": job_name(INSTALLATION, run_id, attempt),
            "run_id": run_id,
            "attempt": attempt,
            "region": "cn-hangzhou",
            "workspace_id": "1",
            "owner": "first",
            "intended_at": now,
            "renewed_at": now,
            "expires_at": now + timedelta(seconds=TTL_S),
            "not_after": now + timedelta(hours=3),
            "price_per_hour": machine_price(),
            "currency": "CNY",
        }
        return Lease(**{**given, **more})

    def request(self, run_id: str = "run1", attempt: int = 1, **more: Any) -> CreateJob:
        given = {
            "tags": job_tags(INSTALLATION, run_id, attempt, "0" * 64),
            "max_running_time_minutes": 60,
        }
        return request(job_name(INSTALLATION, run_id, attempt), **{**given, **more})

    async def start(
        self, run_id: str = "run1", attempt: int = 1, *, owner: str = "first", **more: Any
    ) -> tuple[Lease, Adopted]:
        return await start_job(
            more.pop("ledger", self.ledger),
            self.cloud.dlc,
            self.request(run_id, attempt, **more.pop("asked", {})),
            lease=more.pop("lease", None) or self.lease(run_id, attempt, owner=owner),
            authorization=LEAVE,
            clock=self.clock,
            **more,
        )

    async def release(self, run_id: str = "run1", **more: Any) -> Released:
        ledger = more.pop("ledger", self.ledger)
        given = {"why": "over", **more}
        return await release(ledger, self.cloud.account, run_id, clock=self.clock, **given)

    async def reap(self, **more: Any) -> ReapReport:
        ledger = more.pop("ledger", self.ledger)
        given = {"owner": "reaper", **more}
        return await reap(ledger, self.cloud.account, clock=self.clock, **given)

    def kept(self, lease_id: str | None = None) -> Lease:
        """A lease as the ledger has it."""
        wanted = lease_id or job_name(INSTALLATION, "run1", 1)
        return next(one for one in self.ledger.leases() if one.lease_id == wanted)

    def going(self) -> list[str]:
        """The ids of the jobs that are billed or will be."""
        ended = ("Stopped", "Succeeded", "Failed")
        return [job_id for job_id, status in self.cloud.jobs.items() if status not in ended]

    def billed(self) -> Decimal:
        return self.cloud.simulator.total()


@asynccontextmanager
async def office(folder: Path, scenario: str | None = None, **more: Any) -> AsyncIterator[Office]:
    """An installation whose ledger is in `folder`."""
    loop = asyncio.get_running_loop()
    before = loop._default_executor  # type: ignore[attr-defined]  # a loop tells it to nobody
    loop.set_default_executor(InLine())
    here = Office(cloud(scenario, **more), folder / "ledger.db")
    template = folder / "template.db"
    try:
        if template.exists():
            # Making the tables takes longer than most tests.
            shutil.copy(template, here.path)
            here.open().claim_file()
        else:
            here.open()
            here.ledger.close()
            shutil.copy(here.path, template)
        yield here
    finally:
        for ledger in here.ledgers:
            ledger.close()
        loop._default_executor = before  # type: ignore[attr-defined]
