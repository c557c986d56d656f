"""A process that is killed in the middle of any method leaves a ledger that is whole."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from money_builders import NOW, SetClock, approval, begun, lease, night_cap, quote
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tidemark.errors import CapReached
from tidemark.money.ledger import Ledger

STEPS: dict[str, Callable[[Ledger], object]] = {
    "begin_run": lambda ledger: begun(ledger, "run-2"),
    "say": lambda ledger: ledger.say("run-1", state="running", line="on"),
    "keep_quote": lambda ledger: ledger.keep_quote(quote(number=2)),
    "keep_approval": lambda ledger: ledger.keep_approval(approval(quote())),
    "reserve": lambda ledger: ledger.reserve("run-1", Decimal(9), "CNY", (night_cap("10"),)),
    "meter": lambda ledger: ledger.meter(lease().lease_id, billable_s=5, amount=Decimal(3), at=NOW),
    "settle": lambda ledger: ledger.settle("run-1"),
    "intend": lambda ledger: ledger.intend(lease(attempt=2)),
    "created": lambda ledger: ledger.created(lease(), "dlc1"),
    "renew": lambda ledger: ledger.renew(lease(), lease().not_after),
    "seize": lambda ledger: ledger.seize(
        lease().lease_id, owner="reaper", now=lease().expires_at, until=lease().not_after
    ),
    "release": lambda ledger: ledger.release(lease()),
}


def dies_at(statement: int, work: Callable[[], object]) -> bool:
    """Whether a process that does this work is killed right after its n-th statement."""
    child = os.fork()
    if child == 0:
        seen = 0

        @event.listens_for(Engine, "after_cursor_execute")
        def count(*_: Any) -> None:
            nonlocal seen
            seen += 1
            if seen == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
            for (name,) in names
        }


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_done_or_not_begun(tmp_path: Path, step: str) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger.open(f"sqlite:///{path}", installation="abcd", clock=SetClock())
    begun(ledger, "run-1")
    ledger.keep_quote(quote())
    ledger.intend(lease())
    ledger.reserve("run-1", Decimal(4), "CNY", ())
    before = tables(path)
    killed = 0
    while dies_at(killed + 1, lambda: STEPS[step](ledger)):
        killed += 1
        assert tables(path) == before, (step, killed)
        # Nobody is kept out by what the dead process held.
        again = Ledger.open(f"sqlite:///{path}", installation="abcd", clock=SetClock())
        assert again.reservation("run-1").amount == 4
    assert killed >= 3
    assert tables(path) != before


def test_a_ledger_that_was_half_made_is_made_by_the_next(tmp_path: Path) -> None:
    for statement in range(1, 1000):
        path = tmp_path / f"{statement}.db"
        url = f"sqlite:///{path}"

        def open_it(url: str = url) -> Ledger:
            return Ledger.open(url, installation="abcd", clock=SetClock())

        died = dies_at(statement, open_it)
        ledger = open_it()
        begun(ledger, "run-1")
        assert ledger.installation == "abcd"
        if not died:
            break
    assert statement > 20


RESERVE_FOR_EVER = """
import itertools, sys
from datetime import UTC, datetime
from decimal import Decimal
from tidemark.clock import SystemClock
from tidemark.money.ledger import Ledger, LedgerRun
from tidemark.money.policy import Cap
ledger = Ledger.open(sys.argv[1], installation="abcd", clock=SystemClock())
cap = Cap("night", "2026-11-22", Decimal(1000), "CNY", "per_night")
for number in itertools.count():
    now = datetime.now(UTC)
    run_id = f"{sys.argv[2]}-{number}"
    ledger.begin_run(LedgerRun(run_id=run_id, plan_hash="ab", night="2026-11-22", month="2026-11",
                               created_at=now, updated_at=now))
    ledger.reserve(run_id, Decimal(1), "CNY", (cap,))
    print(run_id, flush=True)
"""


def test_what_was_answered_before_a_kill_is_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger.open(url, installation="abcd", clock=SetClock())
    told: list[str] = []
    for life in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", RESERVE_FOR_EVER, url, str(life)],
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            told += [process.stdout.readline().strip() for _ in range(5)]
            process.kill()
            told += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert len(told) >= 15
    for run_id in told:
        assert ledger.reservation(run_id).open, run_id
    # One more may have been reserved in each life than was told.
    reserved = ledger.spent(night="2026-11-22", month="", person=None, currency="CNY").night
    assert len(told) <= reserved <= len(told) + 3
    begun(ledger, "last")
    with pytest.raises(CapReached):
        ledger.reserve("last", 1001 - reserved, "CNY", (night_cap("1000"),))
