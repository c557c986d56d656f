"""Runs that wait for an answer, and the answer given from another terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from noted_runs import Noted
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

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


def heard_by(noted: Noted, run_id: str, state: str = "starting") -> threading.Thread:
    """A run at its terminal, which goes on as soon as its quote has an answer."""

    def wait() -> None:
        quote = noted.ledger.last_quote(run_id)
        assert quote is not None
        end_s = time.monotonic() + 20
        while noted.ledger.approval(quote.quote_id) is None and time.monotonic() < end_s:
            time.sleep(0.05)
        noted.ledger.say(run_id, state=state, line="Creating the job")

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_run_that_waits_is_listed_with_sum_and_command(command: Command, noted: Noted) -> None:
    noted.quote(noted.run())
    said = command("runs", "--waiting")
    assert said.status == 0
    assert f"tidemark approve {RUN}" in said.out
    for word in (RUN, "alice", "2 CNY"):
        assert word in said.out
    [document] = json.loads(command("runs", "--waiting", "--json").out)
    assert (document["run_id"], document["currency"]) == (RUN, "CNY")
    assert Decimal(document["bound"]) == 2


def test_nothing_waits(command: Command, noted: Noted) -> None:
    noted.run(state="running")
    said = command("runs", "--waiting")
    assert (said.status, said.out) == (0, "")
    assert "no run waits" in said.err


def test_ids_are_whole_in_a_narrow_terminal(
    command: Command, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted.quote(noted.run())
    monkeypatch.setenv("COLUMNS", "60")
    assert f"tidemark approve {RUN}\n" in command("runs", "--waiting").out


def test_an_approval_is_noted_with_who_and_the_run_goes_on(command: Command, noted: Noted) -> None:
    quote = noted.quote(noted.run())
    listening = heard_by(noted, RUN)
    said = command("approve", RUN[:12], "--yes", "--by", "bob")
    listening.join()
    assert said.status == 0
    assert "most it can cost" in said.out
    assert "goes on: Creating the job" in said.out
    answer = noted.ledger.approval(quote.quote_id)
    assert answer is not None
    assert (answer.decision, answer.by, answer.channel) == ("approve", "bob", "tidemark approve")
    assert (answer.up_to, answer.currency, answer.plan_hash) == (quote.bound, "CNY", "a" * 64)


def test_the_beginning_of_an_id_means_the_run_that_waits(command: Command, noted: Noted) -> None:
    over = noted.run("20261122t010203-bbbb", state="finished", outcome="failed")
    quote = noted.quote(noted.run())
    listening = heard_by(noted, RUN)
    said = command("approve", RUN[:12], "--yes")
    listening.join()
    assert said.status == 0
    assert noted.ledger.approval(quote.quote_id) is not None
    again = command("reject", over.run_id, "--reason", "late")
    assert again.status == 2
    assert "is over: failed" in again.err


def test_one_of_several_that_wait_has_to_be_named(command: Command, noted: Noted) -> None:
    noted.run("20261122t010203-bbbb", state="cancelled")
    waiting = [noted.quote(noted.run(f"20261122t010203-{end}")) for end in ("aaaa", "cccc")]
    said = command("approve", RUN[:12], "--yes")
    assert said.status == 2
    assert "several runs that wait" in said.err
    assert "aaaa" in said.err
    assert "cccc" in said.err
    assert "bbbb" not in said.err
    assert [noted.ledger.approval(quote.quote_id) for quote in waiting] == [None, None]


def test_a_beginning_that_nothing_waits_with_leads_to_what_does(
    command: Command, noted: Noted
) -> None:
    for end in ("bbbb", "cccc"):
        noted.run(f"20261121t010203-{end}", state="rejected")
    said = command("approve", "20261121", "--yes")
    assert said.status == 2
    assert "no run that waits for approval begins with 20261121" in said.err
    assert "None waits" in said.err
    noted.quote(noted.run())
    assert RUN in command("approve", "20261121", "--yes").err


def test_without_a_terminal_nothing_is_approved_that_no_option_said_yes_to(
    command: Command, noted: Noted
) -> None:
    quote = noted.quote(noted.run())
    said = command("approve", RUN, "--wait", "0")
    assert said.status == 2
    assert "most it can cost" in said.out
    assert f"tidemark approve {RUN} --up-to 2CNY" in said.err
    assert noted.ledger.approval(quote.quote_id) is None


@pytest.mark.parametrize(
    ("up_to", "words"),
    [
        ("1.99CNY", "2 CNY, and 1.99 CNY is approved at most"),
        ("5USD", "never converted"),
        ("5", "--up-to 5: is no sum of money with its currency"),
    ],
)
def test_a_sum_below_the_quote_approves_nothing(
    command: Command, noted: Noted, up_to: str, words: str
) -> None:
    quote = noted.quote(noted.run())
    said = command("approve", RUN, "--up-to", up_to, "--yes", "--wait", "0")
    assert said.status == 2
    assert words in said.err
    assert noted.ledger.approval(quote.quote_id) is None


def test_a_sum_that_is_not_below_the_quote_approves_it(command: Command, noted: Noted) -> None:
    noted.quote(noted.run())
    [document] = json.loads(command("runs", "--waiting", "--json").out)
    assert document["approve"] == f"tidemark approve {RUN} --up-to 2CNY"
    listening = heard_by(noted, RUN)
    said = command(*document["approve"].split()[1:])
    listening.join()
    assert said.status == 0
    assert "goes on" in said.out


class AtTerminal:
    """`tidemark approve` at a terminal of its own."""

    def __init__(self, home: Path) -> None:
        self._keyboard, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tidemark.cli", "approve", "--wait", "0"],
            cwd=home,
            env={**os.environ, "COLUMNS": "100", "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def until(self, words: str) -> None:
        while words not in self.said:
            assert self._read(), self.said

    def end(self) -> int:
        while self._read():
            pass
        os.close(self._keyboard)
        return self.process.wait(10)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._keyboard], [], [], 60)
        try:
            data = os.read(self._keyboard, 65536) if ready else b""
        except OSError:  # the terminal of a process that has ended
            return False
        self.said += data.decode("utf-8", "replace")
        return bool(data)


@pytest.mark.parametrize(
    ("typed", "status", "decision"), [("y", 3, "approve"), ("", 1, None), ("no", 1, None)]
)
def test_at_a_terminal_the_quote_is_shown_and_asked_about(
    noted: Noted, tmp_path: Path, typed: str, status: int, decision: str | None
) -> None:
    quote = noted.quote(noted.run())
    here = AtTerminal(tmp_path)
    here.type("y\n" if decision is None else "n\n")  # too early to be an answer
    here.until("Approve? [y/N]")
    assert "most it can cost" in here.said
    here.type(f"{typed}\n")
    assert here.end() == status, here.said
    answer = noted.ledger.approval(quote.quote_id)
    assert (answer and answer.decision) == decision
    assert ("waits on" in here.said) == (decision is None)


def test_a_quote_that_was_renewed_while_it_was_read_is_not_approved(
    noted: Noted, tmp_path: Path
) -> None:
    run = noted.run()
    noted.quote(run)
    here = AtTerminal(tmp_path)
    here.until("Approve? [y/N]")
    noted.quote(run, number=2, per_hour="200")
    here.type("y\n")
    assert here.end() == 2, here.said
    assert "quoted anew" in here.said
    assert noted.ledger.approval(f"{RUN}-q1") is None
    assert noted.ledger.approval(f"{RUN}-q2") is None


def test_without_a_name_the_one_that_waits_is_meant(command: Command, noted: Noted) -> None:
    noted.run("20261122t010204-bbbb", state="running")
    quote = noted.quote(noted.run())
    said = command("reject", "--reason", "too dear", "--wait", "0")
    assert said.status == 3  # nobody listens here
    assert "the answer is noted" in said.out
    answer = noted.ledger.approval(quote.quote_id)
    assert answer is not None
    assert (answer.decision, answer.reason) == ("reject", "too dear")


def test_a_run_that_ends_by_its_answer_is_not_said_to_go_on(command: Command, noted: Noted) -> None:
    noted.quote(noted.run())
    listening = heard_by(noted, RUN, state="rejected")
    said = command("reject", RUN, "--reason", "too dear")
    listening.join()
    assert said.status == 0
    assert f"run {RUN} ended: " in said.out
    assert "goes on" not in said.out


def test_one_of_several_has_to_be_named(command: Command, noted: Noted) -> None:
    noted.quote(noted.run())
    noted.quote(noted.run("20261122t010204-bbbb"))
    for words in (("approve",), ("approve", "20261122")):
        said = command(*words)
        assert said.status == 2
        assert "20261122t010204-bbbb" in said.err


def test_a_rejection_needs_a_reason(command: Command, noted: Noted) -> None:
    noted.quote(noted.run())
    assert command("reject", RUN).status == 2


def test_an_answer_that_nobody_took_up_says_what_holds(command: Command, noted: Noted) -> None:
    noted.quote(noted.run())
    said = command("approve", RUN, "--yes", "--wait", "0")
    assert said.status == 3
    assert "the answer is noted" in said.out
    assert "Prefect is not configured here" in said.out
    # The same once more tells the run again, and notes nothing new.
    again = command("approve", RUN, "--yes", "--wait", "0")
    assert again.status == 3
    assert "telling the run again" in again.out


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_run_that_has_its_answer_is_not_said_to_want_one(
    command: Command, noted: Noted, decision: str
) -> None:
    noted.quote(noted.run())
    option = ("--yes",) if decision == "approve" else ("--reason", "too dear")
    assert command(decision, RUN, *option, "--wait", "0").status == 3
    other = "reject" if decision == "approve" else "approve"
    for said in (command("runs", "--waiting"), command("status", RUN)):
        assert "has not heard of it yet" in said.out
        assert f"tidemark {decision} {RUN}" in said.out
        assert f"tidemark {other} {RUN}" not in said.out


def test_an_approved_run_that_has_not_heard_so_can_be_cancelled(
    command: Command, noted: Noted
) -> None:
    noted.quote(noted.run())
    command("approve", RUN, "--yes", "--wait", "0")
    said = command("cancel", RUN, "--wait", "0")
    assert said.status == 1
    assert "is asked to end" in said.out
    assert noted.ledger.run(RUN).cancel_asked


def test_prefect_that_cannot_be_reached_loses_no_answer(
    command: Command, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    quote = noted.quote(noted.run())
    # Where Prefect is imported already, it has read its variables.
    away = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(away):
        said = command("approve", RUN, "--yes", "--wait", "0")
    assert said.status == 3
    assert "Prefect cannot be reached" in said.out
    assert "finds the answer" in said.out
    assert noted.ledger.approval(quote.quote_id) is not None


def test_an_answer_stands(command: Command, noted: Noted) -> None:
    noted.quote(noted.run())
    command("approve", RUN, "--yes", "--by", "bob", "--wait", "0")
    said = command("reject", RUN, "--reason", "no", "--wait", "0")
    assert said.status == 2
    assert "approved by bob (tidemark approve)" in said.err


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("quoting", "does not wait for approval: it is quoting"),
        ("finished", "is over: finished"),
        ("cancelled", "is over: cancelled"),
    ],
)
def test_a_run_that_does_not_wait(command: Command, noted: Noted, state: str, words: str) -> None:
    noted.quote(noted.run(state=state))
    said = command("approve", RUN)
    assert said.status == 2
    assert words in said.err


def test_a_run_that_goes_on_already_says_who_answered(command: Command, noted: Noted) -> None:
    run = noted.run(state="running")
    quote = noted.quote(run)
    noted.ledger.keep_approval(
        Approval(
            approval_id="1", run_id=RUN, quote_id=quote.quote_id, plan_hash="a" * 64,
            decision="approve", up_to=quote.bound, currency="CNY", by="carol", channel="Prefect",
            decided_at=datetime.now(UTC),
        )
    )  # fmt: skip
    said = command("approve", RUN)
    assert said.status == 2
    assert "approved by carol (Prefect)" in said.err


def test_an_expired_quote_is_not_approved_and_asked_again(command: Command, noted: Noted) -> None:
    noted.quote(noted.run(), valid_s=-1.0)
    listening = heard_by(noted, RUN, state="quoting")
    said = command("approve", RUN, "--yes")
    listening.join()
    assert said.status == 3
    assert "asks again" in said.out
    assert "goes on" not in said.out


def test_what_has_no_price_cannot_be_approved(command: Command, noted: Noted) -> None:
    quote = noted.quote(noted.run(), per_hour=None)
    said = command("approve", RUN, "--yes", "--wait", "0")
    assert said.status == 2
    assert noted.ledger.approval(quote.quote_id) is None


@pytest.mark.parametrize("name", ["zzzz", ""])
def test_a_run_that_is_not_there(command: Command, noted: Noted, name: str) -> None:
    noted.run()
    said = command("approve", name)
    assert said.status == 2
    assert "run" in said.err


def test_without_a_ledger_nothing_can_be_answered(command: Command, tmp_path: Path) -> None:
    said = command("approve", RUN)
    assert said.status == 1
    assert "is not there" in said.err
    assert not (tmp_path / "home" / "ledger.db").exists()
