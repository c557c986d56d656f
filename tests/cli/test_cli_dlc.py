"""What `tidemark dlc` is told on its command line; what it does then is in tests/e2e."""

from __future__ import annotations

import asyncio
import io
import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from rich.console import Console

from tasks.approval import Reply
from tasks.job_room import JobRoom
from tasks.progress import ProgressReport
from tasks.stop import Stop
from tidemark.cli.asking import UpTo, without_estimates
from tidemark.cli.dlc_run import what_is_kept
from tidemark.cli.terminal import Bar, Listener
from tidemark.errors import ConfigError
from tidemark.money.quote import Quote
from tidemark.plan.job import JobPlan
from tidemark.plan.sweep import SweepPlan

Command = Callable[..., Any]


@pytest.mark.parametrize("demo", [("demo",), ("dlc", "demo")])
def test_a_demo_in_a_folder_that_cannot_be_made_says_so(
    command: Command, tmp_path: Path, demo: tuple[str, ...]
) -> None:
    (tmp_path / "taken").write_text("")
    for folder in ("taken", "taken/below", "/proc/x"):
        said = command(*demo, "--directory", folder)
        assert (said.status, said.out) == (2, "")
        assert f"--directory {folder}: the folder cannot be made" in said.err


@pytest.mark.parametrize("text", ["5CNY", "5 cny", "5.00CNY"])
def test_a_sum_is_read(text: str) -> None:
    assert UpTo.of(text, "--up-to") == UpTo(Decimal(5), "CNY")


@pytest.mark.parametrize(
    "text",
    [
        "", "0CNY", "-5CNY", "CNY", "5 yuan", "1e3CNY", "5,5CNY", "nan", "9" * 5000 + "CNY",
        "5", "5_", "5_CNY", "5__0USD", "\uff15CNY", "\u0665CNY", "5\u0421NY",
    ],
)  # fmt: skip
def test_what_is_no_sum_with_a_currency_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no sum of money"):
        UpTo.of(text, "--up-to")


def shown(bar: Bar, console: Console) -> str:
    """What the bar shows of a moment of a run with ten seconds left."""
    assert isinstance(console.file, io.StringIO)
    console.file.truncate(0)
    bar.show(ProgressReport("Waiting for approval", 0.25, 10.0))
    with bar.aside():  # which draws it for the last time
        pass
    return console.file.getvalue()


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_no_time_left_is_told_before_somebody_has_said_yes(
    decision: Literal["approve", "reject"],
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Bar(console, estimates=False) as bar:
        seen = []

        async def ask(_room: JobRoom, _quote: Quote, _why: str) -> Reply:
            seen.append(shown(bar, console))
            return Reply(decision, "alice", "terminal")

        async def confirm() -> None:
            nobody = cast("Any", None)
            for _ in range(2):  # a quote that has expired is asked about again
                await without_estimates(bar, ask)(nobody, nobody, "")

        assert "left" not in shown(bar, console)
        asyncio.run(confirm())
        assert all("Waiting for approval" in one and "left" not in one for one in seen)
        assert ("about 10 s left" in shown(bar, console)) == (decision == "approve")


@pytest.mark.parametrize("is_sweep", [True, False])
def test_ctrl_c_says_what_is_stopped_and_what_is_kept(is_sweep: bool) -> None:
    sweep = SweepPlan.model_validate({"endpoint": {"url": "http://h"}, "tokenizer": "org/m@main"})
    plan = JobPlan(sweep=sweep) if is_sweep else JobPlan(command="nvidia-smi")
    console = Console(file=io.StringIO(), width=80)
    stop = Stop()
    with Listener(stop, console, kept=what_is_kept(plan)):
        signal.raise_signal(signal.SIGINT)
    assert stop.asked
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert ("finished cells" in said) == is_sweep
    for words in ("job", "its log", "what it cost", "the reaper"):
        assert words in said


def test_what_to_do_about_an_image_that_is_not_there_is_a_command(command: Command) -> None:
    from tidemark.alibaba.dlc_answers import Job
    from tidemark.alibaba.job_evidence import JobEvidence
    from tidemark.alibaba.job_failures import classify

    job = Job.model_validate(
        {
            "job_id": "dlc1example",
            "status": "Failed",
            "reason_message": "Failed to pull image x/y:1: manifest unknown",
        }
    )
    failure = classify(job, JobEvidence(job), None)
    assert "`tidemark pai images`" in failure.advice
    assert command("pai", "images", "--help").status == 0
