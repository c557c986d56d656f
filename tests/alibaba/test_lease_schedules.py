"""One attempt, many owners that die, freeze and come back: one job in the end, and then none."""

from __future__ import annotations

import asyncio
import json
import os
import random
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloud import ADDRESS, LEAVE
from leasing import Office, machine_price, office

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.leased_jobs import keep_alive, release, start_job
from tidemark.alibaba.reaping import reap
from tidemark.clock import Clock
from tidemark.errors import NotTheOwner, TidemarkError

# Set LEASE_SCHEDULES for more of them.
SCHEDULES = int(os.environ.get("LEASE_SCHEDULES", "25"))
PRICE_PER_S = machine_price() / 3600


@dataclass
class Freezing(httpx.AsyncBaseTransport):
    """A process that now and then stands still, right before a call leaves it or right after the
    answer came: longer than its lease lasts, at times."""

    inner: httpx.AsyncBaseTransport
    clock: Clock
    chance: random.Random
    likely: float

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # Worst of all is to have asked the ledger, and to create long after.
        creates = request.headers["x-acs-action"] == "CreateJob"
        await self._freeze(10 * self.likely if creates else self.likely)
        answer = await self.inner.handle_async_request(request)
        await self._freeze(self.likely)
        return answer

    async def _freeze(self, likely: float) -> None:
        if self.chance.random() < likely:
            await self.clock.sleep(self.chance.choice([0.5, 20, 400, 700]))


@dataclass
class Schedule:
    """What happens at random to one attempt."""

    here: Office
    chance: random.Random
    freezing: float

    def account(self, transport: httpx.AsyncBaseTransport | None = None) -> Account:
        simulator, clock = self.here.cloud.simulator, self.here.clock
        freezing = Freezing(simulator.transport(), clock, self.chance, self.freezing)
        return Account(
            StaticCredentials.of("LTAIsimulator", "simulator-secret"),
            "cn-hangzhou",
            endpoints=ADDRESS,
            transport=transport or freezing,
            clock=clock,
            settings=ChannelSettings(calls_per_s=10_000.0, burst=1),
            draw=self.chance,
        )

    async def owner(self, name: str) -> None:
        """A process that wants the attempt, watches it for a while, and ends in one way or
        another."""
        here, clock, chance = self.here, self.here.clock, self.chance
        account = self.account()
        await clock.sleep(chance.uniform(0, 1200))
        lease = None
        while lease is None:
            try:
                lease, _ = await start_job(
                    here.ledger,
                    Dlc(account),
                    here.request(),
                    lease=here.lease(owner=name),
                    authorization=LEAVE,
                    clock=clock,
                )
            except NotTheOwner:
                await clock.sleep(chance.uniform(5, 100))  # and comes again, as a flow may
            except TidemarkError:
                if chance.random() < 0.5:
                    await self._release(account, name)
                return
        keeping = asyncio.create_task(keep_alive(here.ledger, lease, clock=clock))
        try:
            await clock.sleep(chance.uniform(0, 900))
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError, TidemarkError):
                await keeping
        if chance.random() < 0.5:
            await self._release(account, name)

    async def _release(self, account: Account, name: str) -> None:
        owner = self.chance.choice([name, name, None])
        await release(
            self.here.ledger, account, "run1", clock=self.here.clock, why="over", owner=owner
        )

    async def reaper(self, name: str) -> None:
        await self.here.clock.sleep(self.chance.uniform(0, 2000))
        await reap(self.here.ledger, self.account(), clock=self.here.clock, owner=name)

    async def ledger_away(self) -> None:
        await self.here.clock.sleep(self.chance.uniform(0, 2000))
        await self.here.away_for(self.chance.choice([2, 30, 200]))

    async def die(self, task: asyncio.Task[None]) -> None:
        await self.here.clock.sleep(self.chance.uniform(0, 2000))
        task.cancel()

    async def play(self) -> None:
        """All of it, and in the end nobody is there any more."""
        chance = self.chance
        tasks = [
            asyncio.create_task(self.owner(f"owner {number}"))
            for number in range(chance.randint(2, 4))
        ]
        tasks += [
            asyncio.create_task(self.reaper(f"reaper {number}"))
            for number in range(chance.randint(0, 2))
        ]
        tasks += [
            asyncio.create_task(self.die(task)) for task in list(tasks) if chance.random() < 0.4
        ]
        if chance.random() < 0.4:
            tasks.append(asyncio.create_task(self.ledger_away()))
        await self.here.clock.sleep(4000)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


def faults(chance: random.Random) -> dict[str, Any]:
    effects: list[dict[str, Any]] = [
        {"lost": "answer"},
        {"lost": "request"},
        {"html": 502},
        {"error": {"status": 500, "code": "InternalError"}},
        {"throttle": {"retry_after_ms": 700}},
        {"slow_s": 5},
        {"slow_s": 45},
    ]
    calls = [
        {"when": {"action": action, "probability": likely}, "then": chance.choice(effects)}
        for action, likely in (
            ("CreateJob", chance.choice([0.1, 0.5])),
            ("ListJobs", 0.15),
            ("GetJob", 0.1),
            ("StopJob", 0.2),
        )
    ]
    life = {
        "visible_after_s": chance.choice([0, 0, 2, 15, 50]),
        "running_s": chance.choice(["never", "never", 200]),
    }
    return {"seed": chance.randrange(10**6), "calls": calls, "jobs": [{"then": life}]}


@pytest.mark.timeout(600)
async def test_random_schedules_end_with_one_job_and_a_reaper_leaves_none(tmp_path: Path) -> None:
    for seed in range(SCHEDULES):
        chance = random.Random(seed)
        freezing = chance.choice([0.0, 0.02, 0.08])
        async with office(tmp_path, json.dumps(faults(chance))) as here:
            here.begin(amount="100")
            await Schedule(here, chance, freezing).play()
            here.cloud.play("{}")
            await here.clock.sleep(70)
            await here.reap(owner="the reaper")
            assert len(here.going()) <= 1, seed
            await here.clock.sleep(1800)
            report = await here.reap(owner="the last reaper")
            # Where every owner died before it noted anything, there is nothing to end.
            assert report.failed == here.ledger.is_empty(), (seed, report)
            assert here.going() == [], seed
            assert here.ledger.leases(unreleased=True) == [], seed
            jobs = len(here.cloud.jobs)
            metered = sum((one.metered or Decimal(0) for one in here.ledger.leases()), Decimal(0))
            assert here.billed() <= metered <= here.billed() + jobs * 2 * PRICE_PER_S, seed
            if here.ledger.leases():
                assert not here.ledger.reservation("run1").open, seed
        here.path.unlink()


class FreezingOnce(httpx.AsyncBaseTransport):
    """A process that stands still for 700 seconds right before it creates a job."""

    def __init__(self, inner: httpx.AsyncBaseTransport, clock: Clock) -> None:
        self.inner, self.clock = inner, clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.headers["x-acs-action"] == "CreateJob":
            await self.clock.sleep(700)
        return await self.inner.handle_async_request(request)


async def test_a_job_that_a_frozen_owner_creates_too_late_is_stopped_and_no_other(
    tmp_path: Path,
) -> None:
    async with office(tmp_path, "jobs: [{then: {running_s: never}}]") as here:
        here.begin()
        schedule = Schedule(here, random.Random(1), 0.0)
        frozen = schedule.account(FreezingOnce(here.cloud.simulator.transport(), here.clock))
        late = asyncio.create_task(
            start_job(
                here.ledger,
                Dlc(frozen),
                here.request(),
                lease=here.lease(),
                authorization=LEAVE,
                clock=here.clock,
            )
        )
        await here.clock.sleep(310)
        lease, adopted = await here.start(owner="second")
        keeping = asyncio.create_task(keep_alive(here.ledger, lease, clock=here.clock))
        with pytest.raises(NotTheOwner):
            await late
        assert len(here.going()) == 2  # nothing can hold back what was already sent
        await here.clock.sleep(100)
        report = await here.reap()
        keeping.cancel()
        assert len(report.reaped[0].stopped) == 1
        assert here.going() == [adopted.job.job_id] == [here.kept().resource_id]
