"""Two flows with one cap, at once: however their steps fall together, the cap holds."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from money_builders import NOW, SetClock, begun, lease, night_cap

from tidemark.errors import CapReached
from tidemark.money.ledger import Ledger
from tidemark.money.policy import Cap

# LEDGER_SCHEDULES=1000 takes a minute.
SCHEDULES = int(os.environ.get("LEDGER_SCHEDULES", "125"))
UNIT = Decimal("0.00000001")

# What all runs take by what stands in the tables, and how many reservations are open.
TAKEN = """
    SELECT
        sum(CASE WHEN held.is_open AND held.amount > run.spent THEN held.amount ELSE run.spent END),
        sum(CASE WHEN held.is_open THEN 1 ELSE 0 END)
    FROM (
        SELECT run_id, coalesce(
            (SELECT sum(metered) FROM tidemark_leases WHERE run_id = tidemark_runs.run_id), 0
        ) AS spent FROM tidemark_runs
    ) AS run
    LEFT JOIN tidemark_reservations AS held ON held.run_id = run.run_id
"""


@dataclass
class Flow:
    """A run that reserves, spends within what it has, asks for more, and settles.

    `taken` looks at what all runs take together; a thrifty one spends a part of what it has."""

    ledger: Ledger
    run_id: str
    taken: Callable[[], Decimal]
    thrift: int = 1
    most: Decimal = Decimal(22)
    reserved: Decimal = Decimal(0)
    metered: Decimal = Decimal(0)
    refused: int = 0

    def go(self, cap: Cap, draw: random.Random, seen: list[Decimal]) -> None:
        for _ in range(draw.randint(2, 4)):
            step = draw.choice(["reserve", "reserve", "meter", "settle"])
            if step == "reserve":
                self._reserve(cap, self.metered + part(self.most, draw))
            elif step == "meter" and self.reserved > self.metered:
                self.metered += part((self.reserved - self.metered) / self.thrift, draw)
                lease_id = lease(self.run_id).lease_id
                self.ledger.meter(lease_id, billable_s=1, amount=self.metered, at=NOW)
            elif step == "settle":
                self._settle()
            seen.append(self.taken())
        self._settle()

    def _reserve(self, cap: Cap, amount: Decimal) -> None:
        try:
            held = self.ledger.reserve(self.run_id, amount, "CNY", (cap,))
        except CapReached:
            self.refused += 1
            return
        self.reserved = held.amount

    def _settle(self) -> None:
        held = self.ledger.settle(self.run_id)
        assert held.metered == self.metered
        assert not held.open
        self.reserved = Decimal(0)


def part(of: Decimal, draw: random.Random) -> Decimal:
    return (of * Decimal(str(draw.random()))).quantize(UNIT, "ROUND_DOWN")


def taken(path: Path) -> tuple[Decimal, int]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        total, still_open = connection.execute(TAKEN).fetchone()
    return total * UNIT, still_open


@pytest.mark.timeout(300)
def test_a_cap_holds_at_each_moment_of_random_schedules(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    flows = []
    for run_id in ("run-1", "run-2"):
        ledger = Ledger.open(f"sqlite:///{path}", installation="abcd", clock=SetClock())
        begun(ledger, run_id)
        ledger.intend(lease(run_id))
        flows.append(Flow(ledger, run_id, lambda: taken(path)[0]))
    for seed in range(SCHEDULES):
        # What earlier schedules spent stays spent: each has as much to share anew.
        limit = sum((flow.metered for flow in flows), Decimal(20))
        cap = night_cap(str(limit))
        seen: list[Decimal] = []
        together(
            *(partial(flow.go, cap, random.Random(f"{seed} {flow.run_id}"), seen) for flow in flows)
        )
        assert max(seen) <= limit, (seed, seen)
        assert taken(path) == (sum(flow.metered for flow in flows), 0), seed
    # The schedules do come to the cap.
    assert sum(flow.refused for flow in flows) > SCHEDULES / 20


def together(*works: Callable[[], None]) -> None:
    """Do all of it at once, and raise what the first of them raised."""
    start = threading.Barrier(len(works))

    def begin(work: Callable[[], None]) -> None:
        start.wait(30)
        work()

    with ThreadPoolExecutor(len(works)) as threads:
        for done in [threads.submit(begin, work) for work in works]:
            done.result()


def test_one_of_many_that_ask_for_all_gets_it(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path / 'ledger.db'}", SetClock()
    cap = Cap("night", "2026-11-22", Decimal(10), "CNY", "per_night")
    first = Ledger.open(url, installation="abcd", clock=clock)
    names = [f"run-{number}" for number in range(8)]
    begun(first, *names)
    won: list[str] = []

    def ask(run_id: str) -> None:
        ledger = Ledger.open(url, installation="abcd", clock=clock)
        try:
            ledger.reserve(run_id, Decimal(10), "CNY", (cap,))
        except CapReached:
            return
        won.append(run_id)

    together(*(partial(ask, name) for name in names))
    assert len(won) == 1
    assert first.reservation(won[0]).open


def test_one_of_many_owners_gets_a_lease(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path / 'ledger.db'}", SetClock()
    first = Ledger.open(url, installation="abcd", clock=clock)
    begun(first, "run-1")
    noted, _ = first.intend(lease())
    clock.move(3600)
    won: list[str] = []

    def seize(owner: str) -> None:
        now = clock.now
        if first.seize(noted.lease_id, owner=owner, now=now, until=now.replace(hour=23)):
            won.append(owner)

    together(*(partial(seize, f"reaper-{number}") for number in range(6)))
    assert len(won) == 1
    assert (first.leases()[0].owner, first.leases()[0].fence) == (won[0], 2)
