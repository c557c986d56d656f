"""Runs that a killed process left behind: what they had reserved comes back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from money_builders import SetClock, lease, night_cap, run

from tidemark.money.abandoned import ABANDONED_AFTER, close_abandoned
from tidemark.money.ledger import Ledger

HOURS_S = ABANDONED_AFTER.total_seconds()


@pytest.fixture
def left(ledger: Ledger) -> Ledger:
    ledger.begin_run(run("run-1"))
    ledger.reserve("run-1", Decimal(10), "CNY", (night_cap("12"),))
    ledger.say("run-1", state="starting", line="Creating the job")
    return ledger


def test_what_nobody_works_on_is_ended_and_its_money_is_free(left: Ledger, clock: SetClock) -> None:
    clock.move(HOURS_S + 1)
    [closed] = close_abandoned(left, clock.now)
    assert closed.run_id == "run-1"
    ended = left.run("run-1")
    assert (ended.state, ended.exit_status) == ("failed", 1)
    assert "Creating the job" in ended.line
    left.begin_run(run("run-2", updated_at=clock.now))
    left.reserve("run-2", Decimal(12), "CNY", (night_cap("12"),))
    assert close_abandoned(left, clock.now) == []


def test_a_run_that_spoke_or_waits_or_holds_a_lease_is_left(left: Ledger, clock: SetClock) -> None:
    left.begin_run(run("run-2"))
    left.say("run-2", state="waiting")
    left.begin_run(run("run-3"))
    left.intend(lease("run-3"))
    clock.move(HOURS_S + 1)
    left.say("run-1", line="Still at it")
    assert close_abandoned(left, clock.now) == []


def test_a_dry_run_changes_nothing(left: Ledger, clock: SetClock) -> None:
    clock.move(HOURS_S + 1)
    assert [one.run_id for one in close_abandoned(left, clock.now, dry_run=True)] == ["run-1"]
    assert left.run("run-1").state == "starting"
