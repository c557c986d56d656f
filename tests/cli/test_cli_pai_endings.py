"""`tidemark pai stop` and `cleanup`: shown first, done only when meant, seen to be done."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pai_served import Served, jumping, serving

from tidemark.alibaba.account import Account
from tidemark.alibaba.dlc import Dlc
from tidemark.cli.pai_endings import Ending, exit_status, stop_all

Command = Callable[..., Any]

SCENARIO = """
jobs:
  - when: {name: "dies*"}
    then: {running_s: 60, exit_code: 1}
  - when: {name: "reserves*"}
    then: {running_s: 60, exit_code: 1, reserving_s: never, stopping_s: 0}
  - when: {name: "slow"}
    then: {running_s: never, stopping_s: never}
  - when: {name: "*"}
    then: {running_s: never, stopping_s: 0}
"""


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with serving(SCENARIO) as served:
        served.lead(monkeypatch)
        yield served


def test_jobs_are_stopped_and_seen_to_have_stopped(command: Command, cloud: Served) -> None:
    first, ended = cloud.create("bench-1"), cloud.create("dies")
    cloud.clock.advance(600)
    said = command("pai", "stop", first, ended, first)
    assert (said.status, said.err) == (0, "")
    assert said.out == f"{first}  Stopped\n{ended}  Failed\n"
    assert cloud.status(first) == "Stopped"


def test_some_stopped_is_a_status_of_its_own(command: Command, cloud: Served) -> None:
    job_id = cloud.create("bench-1")
    said = command("pai", "stop", "dlcnothere", job_id, "--json")
    assert said.status == 3
    assert "dlcnothere  127.0.0.1" in said.err
    assert "NotFound" in said.err
    missing, stopped = json.loads(said.out)
    assert (missing["job_id"], missing["ended"], missing["status"]) == ("dlcnothere", False, None)
    assert "NotFound" in missing["error"]
    assert (stopped["status"], stopped["ended"], stopped["error"]) == ("Stopped", True, None)
    said = command("pai", "stop", "dlcnothere")
    assert (said.status, said.out) == (1, "")


def test_a_job_that_has_not_stopped_in_time_is_a_failure(command: Command, cloud: Served) -> None:
    job_id = cloud.create("slow")
    said = command("pai", "stop", job_id, "--wait", "0.05")
    assert said.status == 1
    assert said.out == f"{job_id}  Stopping, not stopped yet\n"
    assert "billed until it has" in said.err
    # Who does not wait wants no more than to ask.
    assert command("pai", "stop", job_id, "--wait", "0").status == 0
    for wait_s in ("-1", "nan"):
        assert command("pai", "stop", job_id, "--wait", wait_s).status == 2
    assert command("pai", "stop").status == 2


def test_the_stop_is_waited_for_by_the_clock_and_no_longer_than_asked() -> None:
    served = jumping("jobs: [{when: {name: late}, then: {stopping_s: 45}}]")
    clock = served.clock
    job_id = served.create("late")
    begun = clock.time()

    async def stop(account: Account) -> list[Ending]:
        return await stop_all(Dlc(account), [job_id], wait_s=wait_s, clock=clock)

    wait_s = 10.0
    (ending,) = served.do(stop)
    assert (ending.status, ending.ended) == ("Stopping", False)
    assert clock.time() - begun == pytest.approx(10, abs=0.1)
    wait_s = 60.0
    (ending,) = served.do(stop)
    assert (ending.status, ending.ended) == ("Stopped", True)
    assert clock.time() - begun == pytest.approx(45, abs=2.1)
    assert len(served.calls("GetJob")) < 40


def test_the_exit_status_follows_from_what_became_of_the_jobs() -> None:
    good, open_ = Ending("a", "Stopped", True), Ending("b", "Stopping", False)
    bad = Ending("c", None, False, error="no")
    assert exit_status([good, good]) == 0
    assert exit_status([good, open_]) == exit_status([bad, good]) == 3
    assert exit_status([open_, bad]) == 1
    assert exit_status([good, open_], waited=False) == 0


def three(cloud: Served) -> tuple[str, str, str]:
    """One that failed, one that failed and holds its machines, and somebody else's."""
    failed = cloud.create("dies")
    cloud.clock.advance(60)
    reserving = cloud.create("reserves")
    others = cloud.create("dies-too", tags={"team": "other"})
    cloud.clock.advance(600)
    return failed, reserving, others


def test_cleaning_up_only_shows_what_it_would_do(command: Command, cloud: Served) -> None:
    failed, reserving, _ = three(cloud)
    before = {job_id: cloud.status(job_id) for job_id in (failed, reserving)}
    for arguments in ((), ("--dry-run", "--yes"), ("--delete",)):
        said = command("pai", "cleanup", *arguments)
        assert said.status == 0
        rows = [line.split() for line in said.out.splitlines()]
        assert [row[0] for row in rows] == ["job", failed, reserving]
        expected = ("delete", "delete") if "--delete" in arguments else ("leave", "stop")
        assert (rows[1][-1], rows[2][-1]) == expected
        if "--dry-run" not in arguments:
            assert said.err == "nothing was done; with --yes it is\n"
    plan = json.loads(command("pai", "cleanup", "--delete", "--json").out)
    assert [job["action"] for job in plan] == ["delete", "stop and delete"]
    assert {job_id: cloud.status(job_id) for job_id in (failed, reserving)} == before
    assert cloud.calls("StopJob") == cloud.calls("DeleteJob") == []


def test_cleaning_up_stops_and_deletes_its_own_jobs(command: Command, cloud: Served) -> None:
    failed, reserving, others = three(cloud)
    said = command("pai", "cleanup", "--status", "failed", "--yes")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines()[-1] == f"{reserving}  Stopped"
    assert cloud.status(failed) == "Failed"
    said = command("pai", "cleanup", "--delete", "--yes", "--json")
    (ending,) = json.loads(said.out)
    assert (ending["job_id"], ending["deleted"]) == (failed, True)
    assert command("pai", "job", failed).status == 1
    assert command("pai", "cleanup").out == "no job of this tool is Failed\n"
    assert cloud.status(others) == "Failed"


def test_the_jobs_of_others_are_touched_only_when_that_is_written_out(
    command: Command, cloud: Served
) -> None:
    *_, others = three(cloud)
    said = command(
        "pai", "cleanup", "--delete", "--yes", "--including-jobs-that-this-tool-did-not-create"
    )
    assert said.status == 0
    assert f"{others}  deleted\n" in said.out
    assert command("pai", "job", others).status == 1


def test_what_could_not_be_deleted_is_told(command: Command, cloud: Served) -> None:
    first = cloud.create("dies")
    cloud.clock.advance(60)
    second = cloud.create("dies-2")
    cloud.clock.advance(600)
    cloud.play(
        "calls: [{when: {action: DeleteJob, nth: 1}, then: {error: "
        "{status: 403, code: NoPermission}}}]"
    )
    said = command("pai", "cleanup", "--delete", "--yes")
    assert said.status == 3
    assert f"{first}  127.0.0.1" in said.err
    assert f"{second}  deleted\n" in said.out


def test_a_status_that_does_not_exist_is_wrong_use(command: Command, cloud: Served) -> None:
    said = command("pai", "cleanup", "--status", "Fail")
    assert said.status == 2
    assert "Did you mean Failed?" in said.err
    assert cloud.simulator.requests() == []


class Terminal:
    """Standard input at which somebody sits, and types."""

    def __init__(self, typed: str) -> None:
        self._typed = typed

    def isatty(self) -> bool:
        return True

    def readline(self, *_: int) -> str:
        return self._typed


@pytest.mark.parametrize(("typed", "deleted"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_in_a_terminal_it_asks(
    command: Command,
    cloud: Served,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    deleted: bool,
) -> None:
    job_id = cloud.create("dies")
    cloud.clock.advance(600)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True, raising=False)
    said = command("pai", "cleanup", "--delete")
    assert said.status == 0
    assert (f"{job_id}  deleted" in said.out) is deleted
    assert len(cloud.calls("DeleteJob")) == deleted
