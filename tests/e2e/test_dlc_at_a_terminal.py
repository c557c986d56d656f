"""`tidemark dlc run` at a terminal of its own and elsewhere, against a simulated account."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "cli"))

from pai_served import KEY_ID, KEY_SECRET, Served, serving

from tidemark.clock import SystemClock
from tidemark.config import load_config
from tidemark.money.ledger import Ledger
from tidemark.money.opening import open_ledger
from tidemark.simulator.clock import ScaledClock

Command = Callable[..., Any]

# Each starts Prefect, on a machine that may be busy.
pytestmark = pytest.mark.timeout(240)
START_S = 120.0

PLAN = """
name: nightly
command: echo tide
machine: {spec: ecs.c6.large}
image: localhost/bench:1
expected_s: 60
limits: {total_s: 3600, poll_interval_s: 1}
"""
SHORT = "jobs: [{then: {running_s: 120, logs: ['high tide']}}]"
LONG = "jobs: [{then: {running_s: 100000, logs: ['high tide']}}]"


class Typed:
    """A command that runs in a folder, at a terminal of its own or without one."""

    def __init__(self, home: Path, served: Served, *arguments: str, terminal: bool) -> None:
        environ = {
            **os.environ,
            "TIDEMARK_HOME": str(home / "home"),
            "TIDEMARK_PAI_ENDPOINT": served.url,
            "PREFECT_HOME": str(home / "prefect"),
            "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY_ID,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": KEY_SECRET,
            "COLUMNS": "100",
            "TERM": "xterm",
        }
        environ.pop("PREFECT_API_URL", None)
        self._keyboard, theirs = pty.openpty() if terminal else (-1, subprocess.DEVNULL)
        shown = theirs if terminal else subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tidemark.cli", *arguments],
            cwd=home,
            env=environ,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=shown,
        )
        if terminal:
            os.close(theirs)
            self._shown = self._keyboard
        else:
            assert self.process.stderr is not None
            self._shown = self.process.stderr.fileno()
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def until(self, words: str, within_s: float = START_S) -> str:
        """Wait until it has said this on standard error; all that it has said so far."""
        end_s = time.monotonic() + within_s
        while words not in self.said:
            assert time.monotonic() < end_s, self.said
            if not self._read(1.0) and self.process.poll() is not None:
                assert words in self.said, self.said
        return self.said

    def end(self, within_s: float = START_S) -> tuple[int, str]:
        """Its exit status, and standard output."""
        end_s = time.monotonic() + within_s
        while self._read(0.5) or self.process.poll() is None:
            assert time.monotonic() < end_s, self.said
        assert self.process.stdout is not None
        return self.process.wait(), self.process.stdout.read().decode()

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self._shown], [], [], wait_s)
        try:
            data = os.read(self._shown, 65536) if ready else b""
        except OSError:  # the terminal of a process that has ended
            data = b""
        self.said += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode("utf-8", "replace"))
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        if self._keyboard >= 0:
            os.close(self._keyboard)


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(SHORT, clock=ScaledClock(60.0)) as cloud:
        yield cloud


@pytest.fixture
def start(tmp_path: Path, served: Served) -> Iterator[Callable[..., Typed]]:
    started = []
    (tmp_path / "job.yaml").write_text(PLAN)

    def run(*options: str, terminal: bool = False) -> Typed:
        words = ("dlc", "run", "job.yaml", "--workspace", "268", *options)
        started.append(Typed(tmp_path, served, *words, terminal=terminal))
        return started[-1]

    yield run
    for each in started:
        each.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    found = []

    def opened() -> Ledger:
        config = load_config({"TIDEMARK_HOME": str(tmp_path / "home")}, tmp_path)
        found.append(open_ledger(config, SystemClock(), create=False))
        return found[-1]

    yield opened
    for each in found:
        each.close()


def test_at_a_terminal_it_asks_and_says_what_it_cost(
    start: Callable[..., Typed], served: Served, ledger: Callable[[], Ledger]
) -> None:
    typed = start("--html", "report.html", terminal=True)
    shown = typed.until("Approve?")
    assert "most it can cost" in shown
    assert served.calls("CreateJob") == []
    typed.type("y\n")
    status, out = typed.end()
    assert status == 0, typed.said
    assert "worker-0 | high tide" in typed.said or "master-0 | high tide" in typed.said
    assert "Verdict" in out
    assert re.search(r"cost: quoted .* CNY, reserved .* CNY, metered .* CNY", out)
    [run] = ledger().runs()
    assert run.run_id in out
    quote = ledger().last_quote(run.run_id)
    assert quote is not None
    answer = ledger().approval(quote.quote_id)
    assert answer is not None
    assert answer.channel == "terminal"
    assert ledger().reservation(run.run_id).metered >= Decimal(served.simulator.bill()["total"])


def test_what_is_typed_before_the_question_is_no_answer(
    start: Callable[..., Typed], served: Served
) -> None:
    typed = start(terminal=True)
    typed.type("y\n")
    typed.until("Approve?")
    typed.type("n\n")
    typed.until("Why not?")
    typed.type("typed too early\n")
    status, out = typed.end()
    assert status == 1
    assert "typed too early" in out
    assert served.calls("CreateJob") == []


def test_a_no_at_the_terminal_is_asked_why_and_nothing_is_created(
    start: Callable[..., Typed], served: Served, ledger: Callable[[], Ledger]
) -> None:
    typed = start(terminal=True)
    typed.until("Approve?")
    typed.type("n\n")
    typed.until("Why not?")
    typed.type("too dear\n")
    status, out = typed.end()
    assert status == 1
    assert "too dear" in out
    assert "Nothing was started" in out
    assert served.calls("CreateJob") == []
    assert ledger().runs()[0].state == "rejected"


def test_without_a_terminal_it_waits_for_an_answer_from_elsewhere(
    start: Callable[..., Typed],
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    typed = start("--json")
    run_id = typed.until("tidemark approve ").rpartition("tidemark approve ")[2].split()[0]
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    assert f"tidemark approve {run_id}" in command("runs", "--waiting").out
    answered = command("approve", "--up-to", "5CNY", "--by", "bob", "--wait", "60")
    assert answered.status == 0, answered.out
    assert "goes on" in answered.out
    status, out = typed.end()
    document = json.loads(out)
    assert (status, document["exit_status"], document["run_id"]) == (0, 0, run_id)
    assert document["approved_by"] == "bob via tidemark approve"
    assert Decimal(document["metered"]) <= Decimal(document["reserved"])


@pytest.mark.parametrize(
    ("limit", "words"), [("0.01CNY", "approved at most"), ("50 USD", "never converted")]
)
def test_a_quote_beyond_the_sum_that_was_said_is_rejected(
    start: Callable[..., Typed], served: Served, limit: str, words: str
) -> None:
    status, out = start("--approve-up-to", limit).end()
    assert status == 1
    assert words in out
    assert served.calls("CreateJob") == []


def test_ctrl_c_stops_the_job_and_reports(start: Callable[..., Typed], served: Served) -> None:
    served.play(LONG)
    typed = start("--approve-up-to", "5CNY")
    typed.until("Running")
    typed.process.send_signal(signal.SIGINT)
    status, out = typed.end()
    assert status == 3, typed.said
    assert "Once more leaves at once" in typed.said
    assert "cost: quoted" in out
    assert served.simulator.bill()["still_billed"] == []


def test_ctrl_c_twice_leaves_at_once_and_says_what_is_billed(
    start: Callable[..., Typed], served: Served
) -> None:
    served.play(
        "calls: [{when: {action: StopJob}, then: {slow_s: 1200}}]\n"
        "jobs: [{then: {running_s: 100000}}]"
    )
    typed = start("--approve-up-to", "5CNY")
    typed.until("Running")
    typed.process.send_signal(signal.SIGINT)
    typed.until("Once more leaves at once")
    begin_s = time.monotonic()
    typed.process.send_signal(signal.SIGINT)
    status, _ = typed.end()
    assert status == 130
    assert time.monotonic() - begin_s < 20
    [job_id] = served.simulator.bill()["still_billed"]
    assert f"job {job_id} in cn-hangzhou is still billed" in typed.said
    assert "tidemark reap" in typed.said
    assert "its lease ends" in typed.said


def test_what_is_wrong_before_anything_is_billed_is_one_line(
    start: Callable[..., Typed], served: Served, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(PLAN.replace("ecs.c6.large", "ecs.c6.larg"))
    typed = start("--approve-up-to", "5CNY")
    status, out = typed.end()
    assert (status, out) == (2, "")
    assert "Did you mean ecs.c6.large?" in typed.said
    assert "Traceback" not in typed.said
    assert served.calls("CreateJob") == []


@pytest.mark.parametrize(("option", "value"), [("--workspace", "a b"), ("--region", "a b")])
def test_an_option_that_is_wrong_is_named_in_one_line(
    start: Callable[..., Typed], served: Served, option: str, value: str
) -> None:
    typed = start(option, value)
    status, out = typed.end()
    assert (status, out) == (2, "")
    assert f"error: {option}: " in typed.said
    assert "Traceback" not in typed.said
    assert served.simulator.requests() == []
