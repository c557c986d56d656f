"""`tidemark reap`: what nobody looks after any more is stopped, and nothing else."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from noted_runs import Noted
from pai_served import Served, serving

from tidemark.alibaba.job_names import job_tags
from tidemark.simulator.clock import ScaledClock

Command = Callable[..., Any]
RUN = "20261122t010203-aaaa"
OTHER = "20261122t010204-bbbb"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, command: Command) -> Iterator[Served]:
    assert command
    with serving("jobs: [{then: {running_s: 100000}}]", clock=ScaledClock(60.0)) as cloud:
        cloud.lead(monkeypatch)
        yield cloud


@pytest.fixture
def noted(tmp_path: Path, command: Command) -> Iterator[Noted]:
    assert command
    found = Noted.of(tmp_path / "home")
    yield found
    found.ledger.close()


def job_of(served: Served, noted: Noted, run_id: str, *, left_s: float) -> str:
    """A job under a lease that expires in so many seconds; its id."""
    installation = noted.ledger.installation
    job_id: str = served.create(
        f"tidemark-{installation}-{run_id}-a1",
        tags=job_tags(installation, run_id, 1, "a" * 64),
        max_running_time_minutes=60,
    )
    noted.lease(noted.run(run_id, state="running"), left_s=left_s, job_id=job_id)
    served.clock.advance(60)
    return job_id


def test_a_job_that_nobody_holds_is_stopped_and_the_others_are_not(
    command: Command, served: Served, noted: Noted
) -> None:
    lost = job_of(served, noted, RUN, left_s=-600)
    held = job_of(served, noted, OTHER, left_s=600)
    script = served.create("by-hand")
    said = command("reap")
    assert said.status == 0
    assert lost in said.out
    assert "saved at most" in said.out
    assert served.status(lost) in ("Stopping", "Stopped")
    assert served.status(held) not in ("Stopping", "Stopped")
    assert served.status(script) not in ("Stopping", "Stopped")
    assert [lease.run_id for lease in noted.ledger.leases(unreleased=True)] == [OTHER]
    assert noted.ledger.run(RUN).state == "failed"
    assert command("reap").status == 0


def test_a_dry_run_says_it_and_touches_nothing(
    command: Command, served: Served, noted: Noted
) -> None:
    lost = job_of(served, noted, RUN, left_s=-600)
    said = command("reap", "--dry-run")
    assert said.status == 0
    assert "would stop" in said.out
    assert "would save at most" in said.out
    assert served.calls("StopJob") == []
    assert served.status(lost) not in ("Stopping", "Stopped")
    [lease] = noted.ledger.leases(unreleased=True)
    assert lease.run_id == RUN


def test_as_json_it_says_the_same(command: Command, served: Served, noted: Noted) -> None:
    lost = job_of(served, noted, RUN, left_s=-600)
    document = json.loads(command("reap", "--dry-run", "--json").out)
    [reaped] = document["regions"]["cn-hangzhou"]["reaped"]
    assert reaped["stopped"] == [lost]
    assert float(document["regions"]["cn-hangzhou"]["saved"]["CNY"]) > 0


def test_what_could_not_be_looked_at_is_no_success(
    command: Command, served: Served, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_of(served, noted, RUN, left_s=-600)
    monkeypatch.delenv("ALIBABA_CLOUD_ACCESS_KEY_ID")
    said = command("reap")
    assert said.status == 1
    assert served.calls("StopJob") == []


def test_without_a_ledger_of_this_installation_nothing_is_touched(
    command: Command, served: Served, noted: Noted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job_of(served, noted, RUN, left_s=-600)
    asked = len(served.simulator.requests())
    for name, value, words in (
        ("TIDEMARK_INSTALLATION", "another1", "belongs to installation"),
        ("TIDEMARK_LEDGER", f"sqlite:///{tmp_path}/not-there.db", "is not there"),
        ("TIDEMARK_LEDGER", "postgresql+psycopg://user:s3cr3t-pw@127.0.0.1:9/tidemark", ""),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            said = command("reap")
        assert said.status == 2
        assert words in said.err
        assert "s3cr3t-pw" not in said.err
    assert len(served.simulator.requests()) == asked


def test_an_empty_ledger_stops_nothing(command: Command, served: Served, noted: Noted) -> None:
    served.create("by-hand")
    assert noted.ledger.is_empty()
    said = command("reap")
    assert said.status == 2
    assert "is empty" in said.err
    assert served.calls("StopJob") == []


def test_a_ledger_that_was_moved_is_used_once_somebody_says_so(
    command: Command, served: Served, noted: Noted, tmp_path: Path
) -> None:
    lost = job_of(served, noted, RUN, left_s=-600)
    ledger = tmp_path / "home" / "ledger.db"
    restored = ledger.with_suffix(".restored")
    shutil.copyfile(ledger, restored)
    restored.replace(ledger)
    said = command("reap")
    assert said.status == 2
    assert "tidemark reap --moved" in said.err
    assert served.calls("StopJob") == []
    assert command("reap", "--moved", "--dry-run").status == 2
    said = command("reap", "--moved")
    assert said.status == 0
    assert lost in said.out
    assert command("reap").status == 0
