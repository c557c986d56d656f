"""What the ledger keeps, and who may change it. The same tests run on PostgreSQL, too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from money_builders import (
    MONTH,
    NIGHT,
    NOW,
    OTHER_HASH,
    SetClock,
    approval,
    begun,
    lease,
    night_cap,
    price,
    quote,
    run,
)

from tidemark.errors import CapReached, LedgerError, NotTheOwner, RefusedError
from tidemark.money.ledger import Ledger
from tidemark.money.policy import Cap, Spent

SPENT = {"night": NIGHT, "month": MONTH, "person": None, "currency": "CNY"}


def test_a_run_is_noted_once(ledger: Ledger) -> None:
    first = ledger.begin_run(run("run-1", flow_run_id="flow-1", requested_by="wang"))
    again = ledger.begin_run(run("run-2", flow_run_id="flow-1"))
    assert again == first
    assert first.plan == {"name": "nightly", "workers": 2}
    assert first.created_at == NOW
    assert [each.run_id for each in ledger.runs()] == ["run-1"]


def test_a_run_is_found_by_the_beginning_of_its_ids(ledger: Ledger) -> None:
    begun(ledger, "amber-1", "amber-12", "birch")
    ledger.begin_run(run("cedar", flow_run_id="f00d"))
    assert ledger.run("b").run_id == "birch"
    assert ledger.run("f0").run_id == "cedar"
    assert ledger.run("amber-1").run_id == "amber-1"
    with pytest.raises(LedgerError, match="several runs begin with amber: amber-1, amber-12"):
        ledger.run("amber")
    for unknown in ("dogwood", "a%", "", "_mber-1"):
        with pytest.raises(LedgerError, match="no run"):
            ledger.run(unknown)


def test_runs_are_listed_from_the_newest_on(ledger: Ledger) -> None:
    for number in range(4):
        moment = NOW + timedelta(minutes=number)
        ledger.begin_run(run(f"run-{number}", created_at=moment, updated_at=moment))
    ledger.say("run-1", state="failed")
    assert [each.run_id for each in ledger.runs(limit=2)] == ["run-3", "run-2"]
    assert [each.run_id for each in ledger.runs(states=("failed", "finished"))] == ["run-1"]


def test_a_run_says_how_far_it_is(ledger: Ledger, clock: SetClock) -> None:
    begun(ledger, "run-1")
    clock.move(60)
    ledger.say("run-1", state="running", line="Running iteration 2/6: concurrency=5")
    seen = ledger.run("run-1")
    assert (seen.state, seen.line) == ("running", "Running iteration 2/6: concurrency=5")
    assert seen.updated_at == NOW + timedelta(seconds=60)
    with pytest.raises(LedgerError, match="is no state of a run"):
        ledger.say("run-1", state="dreaming")
    with pytest.raises(LedgerError, match="no run run-9 is noted"):
        ledger.say("run-9", line="lost")


def test_the_first_ending_of_a_run_stands(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    ledger.say("run-1", state="cancelled", line="Cancelled by wang")
    ledger.say("run-1", state="failed", outcome="stopped", exit_status=1)
    seen = ledger.run("run-1")
    assert (seen.state, seen.line, seen.outcome, seen.exit_status) == (
        "cancelled", "Cancelled by wang", "stopped", 1,
    )  # fmt: skip
    assert seen.ended


def test_who_asked_first_to_cancel_is_kept(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2")
    ledger.ask_to_cancel("run-1", "wang")
    ledger.ask_to_cancel("run-1", "li")
    assert ledger.run("run-1").cancel_asked == "wang"
    ledger.say("run-2", state="finished")
    with pytest.raises(RefusedError, match="is over already: finished"):
        ledger.ask_to_cancel("run-2", "wang")


def test_text_that_no_database_takes_is_kept_as_far_as_it_goes(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    ledger.say("run-1", line="a\x00b\udc80c 好")
    assert ledger.run("run-1").line == "a\ufffdb?c 好"


def test_quotes_come_back_as_they_were(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2")
    first = quote(notes=("The image is large.",))
    second = quote(number=2, mode="quota", spec="quota1", price=price(None))
    ledger.keep_quote(first)
    ledger.keep_quote(first)
    ledger.keep_quote(second)
    assert ledger.quotes("run-1") == [first, second]
    assert ledger.last_quote("run-1") == second
    assert ledger.last_quote("run-2") is None
    with pytest.raises(LedgerError, match="is noted with other values"):
        ledger.keep_quote(replace(first, workers=3))
    with pytest.raises(LedgerError, match="no run run-9 is noted"):
        ledger.keep_quote(quote("run-9"))


def test_the_first_decision_on_a_quote_stands(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    asked = quote()
    ledger.keep_quote(asked)
    assert ledger.approval(asked.quote_id) is None
    no = approval(asked, decision="reject", reason="too dear", up_to=None, currency=None)
    yes = approval(asked, approval_id="later", by="li")
    assert ledger.keep_approval(no) == no
    assert ledger.keep_approval(yes) == no
    assert ledger.approval(asked.quote_id) == no
    with pytest.raises(LedgerError, match="no quote run-1-q7 is noted"):
        ledger.keep_approval(approval(quote(number=7)))


def test_an_approval_covers_no_more_than_was_said(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    ledger.keep_quote(quote())
    kept = ledger.keep_approval(approval(quote(), up_to=Decimal("7.123456789")))
    assert kept.up_to == Decimal("7.12345678")
    assert kept == ledger.approval("run-1-q1")


def test_a_cap_holds_across_runs(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2", "run-3")
    caps = (night_cap("20"),)
    ledger.reserve("run-1", Decimal("12.4"), "CNY", caps)
    with pytest.raises(CapReached) as refused:
        ledger.reserve("run-2", Decimal("9.1"), "CNY", caps)
    assert str(refused.value).startswith(
        "per_night: 12.40 CNY of 20 CNY are taken by other runs, this one may take 9.10."
    )
    assert not ledger.reservation("run-2").open
    assert ledger.reserve("run-3", Decimal("7.6"), "CNY", caps).amount == Decimal("7.6")
    assert ledger.spent(**SPENT) == Spent(Decimal(20), Decimal(20), Decimal(20))


def test_reserving_again_is_the_same_reservation_or_a_raise(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2")
    caps = (night_cap("20"),)
    ledger.reserve("run-1", Decimal(5), "CNY", caps)
    ledger.reserve("run-1", Decimal(5), "CNY", caps)
    assert ledger.reserve("run-1", Decimal(3), "CNY", caps).amount == 5
    assert ledger.reserve("run-1", Decimal(8), "CNY", caps).amount == 8
    ledger.reserve("run-2", Decimal(12), "CNY", caps)
    with pytest.raises(CapReached):
        ledger.reserve("run-1", Decimal("8.00000001"), "CNY", caps)
    assert ledger.reservation("run-1").amount == 8


def test_what_is_settled_is_free_again_but_for_what_was_spent(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2")
    caps = (night_cap("20"),)
    ledger.reserve("run-1", Decimal(15), "CNY", caps)
    held, _ = ledger.intend(lease())
    ledger.meter(held.lease_id, billable_s=1200, amount=Decimal("4.8"), at=NOW)
    with pytest.raises(CapReached):
        ledger.reserve("run-2", Decimal(10), "CNY", caps)
    for _ in range(2):
        settled = ledger.settle("run-1")
        assert (settled.open, settled.metered) == (False, Decimal("4.8"))
    ledger.reserve("run-2", Decimal(10), "CNY", caps)
    begun(ledger, "run-3")
    with pytest.raises(CapReached, match=r"14\.80 CNY of 20 CNY"):
        ledger.reserve("run-3", Decimal("5.21"), "CNY", caps)


def test_spending_beyond_what_was_reserved_counts(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2")
    ledger.reserve("run-1", Decimal(5), "CNY", ())
    held, _ = ledger.intend(lease())
    ledger.meter(held.lease_id, billable_s=4000, amount=Decimal(8), at=NOW)
    assert ledger.reservation("run-1").taken == 8
    with pytest.raises(CapReached):
        ledger.reserve("run-2", Decimal("12.01"), "CNY", (night_cap("20"),))


def test_a_run_that_was_settled_reserves_anew_with_what_it_spent(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    ledger.reserve("run-1", Decimal(5), "CNY", ())
    held, _ = ledger.intend(lease())
    ledger.meter(held.lease_id, billable_s=4000, amount=Decimal(4), at=NOW)
    ledger.settle("run-1")
    with pytest.raises(CapReached):
        ledger.reserve("run-1", Decimal(1), "CNY", (night_cap("3"),))
    assert ledger.reserve("run-1", Decimal(6), "CNY", (night_cap("6"),)).open


def test_a_run_that_made_nothing_can_be_settled(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    settled = ledger.settle("run-1")
    assert (settled.amount, settled.metered, settled.open) == (0, 0, False)
    with pytest.raises(LedgerError, match="no run run-9"):
        ledger.settle("run-9")


@pytest.mark.parametrize(
    ("cap", "words"),
    [
        (Cap("run", "run-2", Decimal(9), "CNY", "the plan's cap"), "the plan's cap: 9.10 CNY"),
        (Cap("night", NIGHT, Decimal(19), "CNY", "per_night"), "per_night: 10 CNY of 19 CNY"),
        (Cap("month", MONTH, Decimal(19), "CNY", "per_month"), "per_month: 10 CNY of 19 CNY"),
        (Cap("person", "wang", Decimal(19), "CNY", "per_person"), "per_person: 10 CNY of 19"),
    ],
)
def test_each_scope_has_its_cap(ledger: Ledger, cap: Cap, words: str) -> None:
    begun(ledger, "run-1", "run-2", requested_by="wang")
    # None of these counts: another night, month and person.
    begun(ledger, "old", night="2026-10-01", month="2026-10", requested_by="wang")
    begun(ledger, "li", night="2026-11-01", month="2026-10", requested_by="li")
    for each in ("run-1", "old", "li"):
        ledger.reserve(each, Decimal(10), "CNY", ())
    with pytest.raises(CapReached, match=words):
        ledger.reserve("run-2", Decimal("9.1"), "CNY", (cap,))
    raised = replace(cap, limit=Decimal("19.1"))
    assert ledger.reserve("run-2", Decimal("9.1"), "CNY", (raised,)).open


def test_runs_without_a_name_share_a_cap(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2")
    begun(ledger, "run-3", requested_by="wang")
    nobody = Cap("person", "", Decimal(10), "CNY", "per_person")
    ledger.reserve("run-3", Decimal(8), "CNY", ())
    ledger.reserve("run-1", Decimal(8), "CNY", (nobody,))
    with pytest.raises(CapReached):
        ledger.reserve("run-2", Decimal(3), "CNY", (nobody,))
    assert ledger.spent(**SPENT).person == 8
    assert ledger.spent(**SPENT, without_run="run-1").person == 0


def test_currencies_are_never_mixed(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2", "run-3")
    ledger.reserve("run-1", Decimal(15), "USD", ())
    assert ledger.spent(**SPENT) == Spent(Decimal(0), Decimal(0), Decimal(0))
    ledger.reserve("run-2", Decimal(15), "CNY", (night_cap("20"),))
    with pytest.raises(RefusedError, match="per_night: is in CNY, and USD are asked for"):
        ledger.reserve("run-3", Decimal(1), "USD", (night_cap("20"),))
    with pytest.raises(RefusedError, match="has its sums in USD"):
        ledger.reserve("run-1", Decimal(15), "CNY", ())
    with pytest.raises(RefusedError, match="is in CNY, and its run's sums are in USD"):
        ledger.intend(lease("run-1"))


def test_what_is_metered_is_never_lowered(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    held, _ = ledger.intend(lease())
    later = NOW + timedelta(minutes=10)
    ledger.meter(held.lease_id, billable_s=600, amount=Decimal("1.200000001"), at=later)
    ledger.meter(held.lease_id, billable_s=60, amount=Decimal("0.12"), at=NOW)
    ledger.meter(held.lease_id, billable_s=660, amount=None, at=NOW)
    (seen,) = ledger.leases()
    assert seen.metered == Decimal("1.20000001")  # rounded up
    assert (seen.billable_s, seen.metered_at) == (660, later)


def test_what_has_no_price_has_no_cost(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    held, _ = ledger.intend(lease(price_per_hour=None, currency=None))
    ledger.meter(held.lease_id, billable_s=600, amount=None, at=NOW)
    assert ledger.leases()[0].metered is None
    with pytest.raises(LedgerError, match="is metered, and has no currency"):
        ledger.meter(held.lease_id, billable_s=600, amount=Decimal(1), at=NOW)
    with pytest.raises(LedgerError, match="no lease nothing is noted"):
        ledger.meter("nothing", billable_s=600, amount=None, at=NOW)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1", "1e11"])
def test_what_is_no_amount_is_refused(ledger: Ledger, amount: str) -> None:
    begun(ledger, "run-1")
    with pytest.raises(RefusedError, match="is no amount of money"):
        ledger.reserve("run-1", Decimal(amount), "CNY", ())


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    amounts=st.lists(
        st.decimals(0, 10**9, places=8, allow_nan=False, allow_infinity=False),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_sums_are_exact(ledger: Ledger, amounts: list[Decimal]) -> None:
    begun_before = len(ledger.runs(limit=10_000))
    night = f"{begun_before:010}"
    for number, amount in enumerate(amounts):
        run_id = f"{begun_before}-{number}"
        begun(ledger, run_id, night=night, month=night[:7])
        if number % 2:
            ledger.reserve(run_id, amount, "CNY", ())
        else:
            held, _ = ledger.intend(lease(run_id))
            ledger.meter(held.lease_id, billable_s=1, amount=amount, at=NOW)
        assert ledger.reservation(run_id).taken == amount
    found = ledger.spent(night=night, month="none", person=None, currency="CNY")
    assert found.night == sum(amounts, Decimal(0))


def test_a_lease_is_noted_before_anything_is_made(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    assert ledger.is_empty()
    noted, was_there = ledger.intend(lease())
    assert (noted, was_there) == (lease(), False)
    assert not ledger.is_empty()
    made = ledger.created(noted, "dlc1abc")
    assert (made.state, made.resource_id, made.fence) == ("created", "dlc1abc", 1)
    ended = ledger.release(made, "the job succeeded")
    assert (ended.state, ended.released_at, ended.note) == ("released", NOW, "the job succeeded")
    assert ledger.release(made, "again") == ended
    assert ledger.leases(unreleased=True) == []
    assert ledger.leases(run_id="run-1") == [ended]
    assert ledger.leases(run_id="run-2") == []
    assert not ledger.is_empty()
    with pytest.raises(LedgerError, match="no run run-9"):
        ledger.intend(lease("run-9"))


def test_an_owner_comes_again_with_a_higher_fence(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    first, _ = ledger.intend(lease())
    ledger.created(first, "dlc1abc")
    again, was_there = ledger.intend(lease())
    assert was_there
    assert (again.fence, again.state, again.resource_id) == (2, "created", "dlc1abc")
    with pytest.raises(NotTheOwner):
        ledger.renew(first, NOW + timedelta(minutes=9))


def test_another_owner_has_to_wait_until_a_lease_expires(ledger: Ledger, clock: SetClock) -> None:
    begun(ledger, "run-1")
    first, _ = ledger.intend(lease())
    other = lease(owner="host-2", expires_at=NOW + timedelta(minutes=20))
    with pytest.raises(NotTheOwner, match=r"belongs to host-1 until 2026-11-22 18:05:00\+00:00"):
        ledger.intend(other)
    clock.move(300)
    taken, was_there = ledger.intend(other)
    assert was_there
    assert (taken.owner, taken.fence, taken.expires_at) == ("host-2", 2, other.expires_at)
    changes = (
        lambda: ledger.renew(first, NOW + timedelta(hours=1)),
        lambda: ledger.created(first, "dlc1abc"),
        lambda: ledger.release(first),
        lambda: ledger.check(first),
    )
    for change in changes:
        with pytest.raises(NotTheOwner, match="was taken over by host-2, who has it until"):
            change()
    assert ledger.leases() == [taken]
    ledger.check(taken)


def test_an_attempt_that_was_released_can_be_looked_at_again(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    first, _ = ledger.intend(lease())
    ledger.release(ledger.created(first, "dlc1abc"))
    again, was_there = ledger.intend(lease(owner="host-2"))
    assert was_there
    assert (again.state, again.resource_id, again.released_at) == ("created", "dlc1abc", None)


def test_a_name_is_for_one_attempt(ledger: Ledger) -> None:
    begun(ledger, "run-1", "run-2")
    ledger.intend(lease())
    with pytest.raises(LedgerError, match="is noted for attempt 1 of run run-1"):
        ledger.intend(lease("run-2", lease_id=lease().lease_id))


def test_a_second_job_of_an_attempt_is_not_forgotten(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    noted, _ = ledger.intend(lease())
    ledger.created(noted, "dlc1abc")
    assert ledger.created(noted, "dlc2def").note == "before that, it was dlc1abc"


def test_a_lease_is_renewed_at_most_until_the_service_ends_it(
    ledger: Ledger, clock: SetClock
) -> None:
    begun(ledger, "run-1")
    noted, _ = ledger.intend(lease())
    clock.move(30)
    renewed = ledger.renew(noted, NOW + timedelta(minutes=10))
    assert renewed.expires_at == NOW + timedelta(minutes=10)
    assert renewed.renewed_at == NOW + timedelta(seconds=30)
    assert ledger.renew(noted, NOW + timedelta(days=1)).expires_at == noted.not_after
    ledger.release(noted)
    for change in (lambda: ledger.renew(noted, NOW), lambda: ledger.check(noted)):
        with pytest.raises(NotTheOwner, match="was released"):
            change()


def test_nothing_is_made_under_a_lease_that_has_expired(ledger: Ledger, clock: SetClock) -> None:
    begun(ledger, "run-1")
    noted, _ = ledger.intend(lease())
    clock.move(299)
    ledger.check(noted)
    clock.move(1)
    with pytest.raises(NotTheOwner, match="expired at 2026-11-22 18:05:00"):
        ledger.check(noted)
    # Nobody took it meanwhile, so that it can be renewed.
    ledger.check(ledger.renew(noted, clock.now + timedelta(minutes=5)))


def test_only_an_expired_lease_can_be_seized(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    noted, _ = ledger.intend(lease())
    late, until = NOW + timedelta(minutes=6), NOW + timedelta(minutes=16)
    assert ledger.seize(noted.lease_id, owner="reaper", now=NOW, until=until) is None
    seized = ledger.seize(noted.lease_id, owner="reaper", now=late, until=until)
    assert seized is not None
    assert (seized.owner, seized.fence, seized.expires_at) == ("reaper", 2, until)
    assert ledger.seize(noted.lease_id, owner="reaper-2", now=late, until=until) is None
    with pytest.raises(NotTheOwner):
        ledger.renew(noted, until)
    ledger.release(seized, "reaped")
    much_later = NOW + timedelta(days=1)
    assert ledger.seize(noted.lease_id, owner="reaper", now=much_later, until=much_later) is None
    with pytest.raises(LedgerError, match="no lease nothing is noted"):
        ledger.seize("nothing", owner="reaper", now=late, until=until)


def test_times_of_any_zone_are_kept_as_the_same_instant(ledger: Ledger) -> None:
    beijing = timezone(timedelta(hours=8))
    begun(ledger, "run-1", created_at=NOW.astimezone(beijing))
    assert ledger.run("run-1").created_at == NOW
    with pytest.raises(LedgerError, match="a time has no zone"):
        begun(ledger, "run-2", created_at=NOW.replace(tzinfo=None))


def test_the_summary_tells_what_is_reserved_and_what_is_spent(ledger: Ledger) -> None:
    begun(ledger, "run-1", requested_by="wang")
    begun(ledger, "run-2", "run-3", night="2026-11-23")
    ledger.reserve("run-1", Decimal(10), "CNY", ())
    ledger.reserve("run-2", Decimal(5), "CNY", ())
    ledger.reserve("run-3", Decimal(7), "USD", ())
    held, _ = ledger.intend(lease())
    ledger.meter(held.lease_id, billable_s=600, amount=Decimal("1.2"), at=NOW)
    summary = ledger.summary()
    found = {
        (each.scope, each.key, each.currency): (each.reserved, each.metered, each.runs)
        for each in summary.totals
    }
    assert found == {
        ("night", "2026-11-22", "CNY"): (Decimal("8.8"), Decimal("1.2"), 1),
        ("night", "2026-11-23", "CNY"): (5, 0, 1),
        ("night", "2026-11-23", "USD"): (7, 0, 1),
        ("month", "2026-11", "CNY"): (Decimal("13.8"), Decimal("1.2"), 2),
        ("month", "2026-11", "USD"): (7, 0, 1),
        ("person", "2026-11 wang", "CNY"): (Decimal("8.8"), Decimal("1.2"), 1),
        ("person", "2026-11 ", "CNY"): (5, 0, 1),
        ("person", "2026-11 ", "USD"): (7, 0, 1),
    }
    assert [each.lease_id for each in summary.open_leases] == [held.lease_id]
    assert summary.installation == "abcd"
    assert len(ledger.summary(limit=1).totals) == 6


def test_the_other_plan_of_a_quote_is_kept_apart(ledger: Ledger) -> None:
    begun(ledger, "run-1")
    ledger.keep_quote(quote(plan_hash=OTHER_HASH))
    kept = ledger.last_quote("run-1")
    assert kept is not None
    assert kept.plan_hash == OTHER_HASH


def test_a_run_that_failed_and_is_gone_on_with_may_end_well(ledger: Ledger) -> None:
    ledger.begin_run(run("run-1", flow_run_id="flow-1"))
    ledger.ask_to_cancel("run-1", "wang")
    ledger.say("run-1", state="failed", outcome="failed", exit_status=1)
    again = ledger.begin_run(run("run-2", flow_run_id="flow-1"))
    assert (again.run_id, again.ended, again.cancel_asked) == ("run-1", False, None)
    ledger.say("run-1", state="finished", outcome="complete", exit_status=0)
    assert (ledger.run("run-1").state, ledger.run("run-1").exit_status) == ("finished", 0)
    for state in ("rejected", "finished"):
        ledger.begin_run(run(state))
        ledger.say(state, state=state)
        assert ledger.begin_run(run(state)).state == state
