"""`tidemark ledger`, and runs of jobs in `tidemark runs`, `status` and `cancel`."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from noted_runs import OWNER, Noted

from tidemark.money.approval import Approval

Command = Callable[..., Any]
RUN = "20261122t010203-aaaa"


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> Iterator[Noted]:
    assert command
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    found = Noted.of(tmp_path / "home")
    yield found
    found.ledger.close()


@pytest.fixture
def spent(noted: Noted) -> Noted:
    """A run that is approved, reserved, held, and metered."""
    run = noted.run(state="running", created_at=datetime.now(UTC) - timedelta(minutes=5))
    quote = noted.quote(run)
    noted.ledger.keep_approval(
        Approval(
            approval_id="1", run_id=RUN, quote_id=quote.quote_id, plan_hash="a" * 64,
            decision="approve", up_to=quote.bound, currency="CNY", by="policy nights",
            channel="policy nights", decided_at=datetime.now(UTC), rule="per_run", reason="2 of 20",
        )
    )  # fmt: skip
    noted.ledger.reserve(RUN, Decimal(2), "CNY", ())
    lease = noted.lease(run, job_id="dlc1example")
    noted.ledger.meter(
        lease.lease_id, billable_s=900.0, amount=Decimal("0.5"), at=datetime.now(UTC)
    )
    return noted


def test_it_says_what_was_taken_what_is_held_and_by_which_runs(
    command: Command, spent: Noted
) -> None:
    said = command("ledger")
    assert said.status == 0
    assert spent.ledger.installation in said.out
    night = next(line for line in said.out.splitlines() if line.startswith("night"))
    assert "2026-11-22" in night
    assert "1.50 CNY" in night  # of 2 that were reserved, 0.5 are spent
    assert "0.50 CNY" in night
    assert "alice" in said.out
    held = next(line for line in said.out.splitlines() if "dlc1example" in line)
    assert RUN in held
    assert "expired" not in held


def test_its_tables_fit_eighty_columns_with_whole_ids_and_a_line_for_each(
    command: Command, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = "20261122t010203-0123abcd"
    run = noted.run(run_id, state="running", name="nightly")
    noted.quote(run, per_hour="20.123457")
    noted.ledger.reserve(run_id, Decimal("20.123457"), "CNY", ())
    lease = noted.lease(run, job_id="dlc1a2b3c4d5e6f7g8", left_s=-1)
    noted.ledger.meter(
        lease.lease_id, billable_s=9.0, amount=Decimal("0.123457"), at=run.created_at
    )
    monkeypatch.setenv("COLUMNS", "80")
    said = command("ledger")
    lines = [line for line in said.out.splitlines() if not line.startswith("ledger /")]
    assert all(len(line) <= 80 for line in lines)
    rows = [line.split() for line in lines if line.startswith(run_id)]
    assert [row[1] for row in rows] == ["dlc1a2b3c4d5e6f7g8", "gone"]
    assert "nightly" in rows[1]
    assert rows[1][2:4] == ["20.123457", "CNY"]
    assert "tidemark ledger --run RUN" in said.out


def test_all_of_a_run_fits_a_hundred_columns(
    command: Command, spent: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spent
    monkeypatch.setenv("COLUMNS", "100")
    out = command("ledger", "--run", RUN).out
    assert all(len(line) <= 100 for line in out.splitlines())
    assert RUN in out


@pytest.mark.parametrize("outcome", ["failed", "complete"])
def test_a_run_that_is_over_is_called_by_what_came_of_it(
    command: Command, noted: Noted, outcome: str
) -> None:
    noted.run()
    noted.ledger.say(RUN, state="finished", line="Job dlc1 ended", outcome=outcome, exit_status=1)
    for words in (("ledger",), ("ledger", "--run", RUN), ("status", RUN)):
        out = command(*words).out
        [line] = [line for line in out.splitlines() if line.startswith(RUN)]
        assert line.split()[1] == outcome
        assert "finished" not in out
    document = json.loads(command("status", RUN, "--json").out)
    assert (document["state"], document["outcome"]) == ("finished", outcome)


def test_as_json_sums_are_exact(command: Command, spent: Noted) -> None:
    assert spent
    document = json.loads(command("ledger", "--json").out)
    [run] = document["runs"]
    assert Decimal(run["metered"]) == Decimal("0.5")
    assert Decimal(run["bound"]) == 2
    assert [lease["resource_id"] for lease in document["open_leases"]] == ["dlc1example"]
    assert {total["scope"] for total in document["totals"]} == {"night", "month", "person"}


def test_all_that_is_noted_of_a_run_comes_in_order(command: Command, spent: Noted) -> None:
    assert spent
    said = command("ledger", "--run", RUN[:12])
    told = [
        "begun by alice", f"quote {RUN}-q1", "approved by policy nights", "rule per_run",
        f"{RUN}-a1", "job dlc1example", f"held by {OWNER}", "metered 15 min 00 s", "2 CNY reserved",
    ]  # fmt: skip
    places = [said.out.find(words) for words in told]
    assert -1 not in places
    assert places == sorted(places)
    document = json.loads(command("ledger", "--run", RUN, "--json").out)
    assert [answer["by"] for answer in document["answers"]] == ["policy nights"]


def test_an_expired_lease_leads_to_the_reaper(command: Command, noted: Noted) -> None:
    noted.lease(noted.run(state="running"), left_s=-1, job_id="dlc1example")
    said = command("ledger")
    assert "(expired)" in said.out
    assert "tidemark reap" in said.out


def test_a_ledger_that_is_not_there_is_not_made(command: Command, tmp_path: Path) -> None:
    said = command("ledger")
    assert said.status == 1
    assert "is not there" in said.err
    assert not (tmp_path / "home" / "ledger.db").exists()


def test_runs_of_jobs_stand_beside_those_of_the_store(command: Command, spent: Noted) -> None:
    spent.run("20261122t010204-bbbb", state="finished")
    said = command("runs")
    assert said.status == 0
    assert f"{RUN}  running" in said.out
    assert "bbbb" not in said.out  # it is over, and in a store
    [document] = json.loads(command("runs", "--json").out)
    assert (document["run_id"], document["unattended"]) == (RUN, False)


def test_a_run_whose_watcher_is_gone_is_said_to_be(command: Command, noted: Noted) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    run = noted.run(state="running", created_at=long_ago, updated_at=long_ago)
    noted.lease(run, left_s=-1, job_id="dlc1example")
    assert "gone" in command("runs").out
    said = command("status", RUN)
    assert said.status == 1
    assert "tidemark reap" in said.out


def test_a_run_whose_lease_is_not_renewed_in_time_is_not_watched(
    command: Command, noted: Noted
) -> None:
    run = noted.run(state="running")
    noted.lease(run, job_id="dlc1example", renewed_s=90.0)
    said = command("status")
    assert f"{RUN}  running" in said.out
    [lease] = noted.ledger.leases()
    assert f"its lease renewed {lease.renewed_at:%Y-%m-%d %H:%M:%SZ} until" in said.out
    noted.lease(run, job_id="dlc1example", renewed_s=170.0)
    said = command("status")
    assert said.status == 1
    assert f"{RUN}  gone" in said.out
    [lease] = noted.ledger.leases()
    assert f"not watched since {lease.renewed_at:%Y-%m-%d %H:%M:%SZ}" in said.out
    assert f"its lease ends {lease.expires_at:%Y-%m-%d %H:%M:%SZ}" in said.out
    assert "from then on `tidemark reap` stops it" in said.out
    assert "tidemark pai stop dlc1example --region cn-hangzhou" in said.out
    assert "still billed, 2 CNY an hour, unless it has ended" in said.out
    assert "not watched since" in command("runs").out
    [_, row] = [line for line in command("ledger").out.splitlines() if line.startswith(RUN)]
    assert row.split()[1] == "gone"
    assert "not watched since" in command("cancel", RUN, "--wait", "0").out
    assert json.loads(command("status", RUN, "--json").out)["unattended"] is True


def test_the_status_of_a_job_says_job_and_money(command: Command, spent: Noted) -> None:
    assert spent
    for words in (("status",), ("status", RUN[:12])):
        said = command(*words)
        assert said.status == 0
        assert f"{RUN}  running" in said.out
        assert "job dlc1example in cn-hangzhou" in said.out
        assert "metered 0.50 CNY" in said.out
    document = json.loads(command("status", RUN, "--json").out)
    assert document["jobs"] == ["dlc1example"]


def test_a_run_that_is_over_has_its_exit_status(command: Command, noted: Noted) -> None:
    noted.run()
    noted.ledger.say(RUN, state="cancelled", line="Stopped", outcome="cancelled", exit_status=3)
    assert command("status", RUN).status == 3


def test_a_job_is_asked_to_end(command: Command, spent: Noted) -> None:
    def listen() -> None:
        end_s = time.monotonic() + 20
        while not spent.ledger.run(RUN).cancel_asked and time.monotonic() < end_s:
            time.sleep(0.05)
        spent.ledger.say(RUN, state="cancelled", line="asked to stop")

    listening = threading.Thread(target=listen)
    listening.start()
    said = command("cancel", RUN[:12])
    listening.join()
    assert said.status == 0
    assert "it has ended: cancelled" in said.out
    assert "is over already" in command("cancel", RUN).err


def test_a_job_that_nobody_ends_leads_to_the_reaper(command: Command, noted: Noted) -> None:
    noted.lease(noted.run(state="running"), left_s=-1, job_id="dlc1example")
    said = command("cancel", RUN, "--wait", "0")
    assert said.status == 1
    assert "tidemark reap" in said.out


def test_a_run_that_waits_is_cancelled_by_saying_no(command: Command, noted: Noted) -> None:
    quote = noted.quote(noted.run())
    assert command("cancel", RUN, "--wait", "0").status == 1  # nobody hears it here
    answer = noted.ledger.approval(quote.quote_id)
    assert answer is not None
    assert (answer.decision, answer.channel) == ("reject", "tidemark cancel")


def test_another_installations_ledger_hides_no_run_of_the_store(
    command: Command, spent: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spent
    monkeypatch.setenv("TIDEMARK_INSTALLATION", "another1")
    said = command("runs")
    assert said.status == 1  # the store is empty, too
    assert "the ledger cannot be read" in said.err


def test_what_was_planted_steers_no_terminal(command: Command, noted: Noted) -> None:
    noted.run(name="\x1b]0;owned\x07", line="\x1b[31mred", state="running")
    for words in (("ledger",), ("ledger", "--run", RUN), ("runs",), ("status", RUN)):
        assert "\x1b" not in command(*words).out
