"""Commands that are run for real: their output, their exit, and that they never stay behind."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Any

import pytest

from tidemark.errors import ConfigError
from tidemark.simulator.clock import ScaledClock, VirtualClock
from tidemark.simulator.pai.app import PaiSimulator

QUICK = "jobs: [{then: {creating_s: 0, queuing_s: 0, node_s: 0, image_pull: {pull_s: 0}}}]"


class Site:
    """A simulator that executes, whose clock is advanced past what comes before Running."""

    def __init__(self, pai: Any) -> None:
        self.pai = pai

    async def run(self, command: str, **more: Any) -> str:
        job_id: str = await self.pai.create(UserCommand=command, **more)
        self.pai.simulator.look()
        return job_id

    async def until(self, job_id: str, *statuses: str, within_s: float = 10) -> dict[str, Any]:
        """The job as soon as it has one of the statuses."""
        end_s = time.monotonic() + within_s
        while True:
            job: dict[str, Any] = await self.pai.get(job_id)
            if job["Status"] in statuses:
                return job
            assert time.monotonic() < end_s, job["Status"]

    async def logs(self, job_id: str) -> list[str]:
        path = f"/api/v1/jobs/{job_id}/pods/{job_id}-master-0/logs"
        lines: list[str] = (await self.pai.ok("GET", path, "GetPodLogs"))["Logs"]
        return lines

    async def said(self, job_id: str, text: str) -> list[str]:
        """The log as soon as it holds a line."""
        end_s = time.monotonic() + 10
        while text not in (lines := await self.logs(job_id)):
            assert time.monotonic() < end_s, lines
        return lines


@pytest.fixture
def site(start: Any, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("TIDE_SECRET", "canary-0123456789")
    monkeypatch.setenv("TIDE_LEVEL", "5")
    pai = start(QUICK, clock=ScaledClock(60.0), execute=True, inherit=("TIDE_LEVEL",))
    pai.clock = ScaledClock(1.0)
    return Site(pai)


def ended(pid: int, within_s: float = 10) -> bool:
    """Whether a process that is not ours ends in time."""
    try:
        file = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([file], [], [], within_s)[0])
    finally:
        os.close(file)


async def test_output_and_exit_of_a_command(site: Site) -> None:
    job_id = await site.run("echo high; echo low >&2")
    job = await site.until(job_id, "Succeeded", "Failed")
    assert job["Status"] == "Succeeded"
    assert await site.logs(job_id) == ["high", "low"]


async def test_a_command_that_fails(site: Site) -> None:
    job = await site.until(await site.run("exit 7"), "Succeeded", "Failed")
    assert (job["Status"], job["ReasonCode"]) == ("Failed", "JobFailed")
    assert "code 7" in job["ReasonMessage"]
    job = await site.until(await site.run("kill -KILL $$"), "Succeeded", "Failed")
    assert "code 137" in job["ReasonMessage"]


async def test_a_command_s_variables(site: Site) -> None:
    command = "echo $DLC_JOB_ID $PAI_WORKSPACE_ID $LEVEL $ROUND ${TIDE_LEVEL}; env"
    envs = {"Envs": {"LEVEL": "9"}, "CustomEnvs": [{"Key": "ROUND", "Value": "3"}]}
    job_id = await site.run(command, **envs)
    await site.until(job_id, "Succeeded")
    lines = await site.logs(job_id)
    assert lines[0] == f"{job_id} 268 9 3 5"
    assert not any("canary" in line or "TIDE_SECRET" in line for line in lines)


async def test_only_the_first_pod_runs_the_command(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "runs"
    job_id = await site.run(f"echo run >> {file}", spec={"PodCount": 3})
    await site.until(job_id, "Succeeded")
    assert file.read_text() == "run\n"


async def test_a_role_s_own_command_is_the_master_s(site: Site) -> None:
    image = {"Image": "registry.example.com/bench:1", "EcsSpec": "ecs.g6.large", "PodCount": 1}
    specs = [
        {"Type": "Worker", **image},
        {"Type": "Master", "UserCommand": "echo of the master", **image},
    ]
    job_id = await site.run("echo of everybody", JobSpecs=specs)
    await site.until(job_id, "Succeeded", "Failed")
    assert await site.logs(job_id) == ["of the master"]


async def test_a_stop_ends_the_command_and_all_it_started(site: Site) -> None:
    job_id = await site.run("sleep 600 & echo $!; echo $$; echo ready; wait")
    child, shell, _ = await site.said(job_id, "ready")
    await site.pai.stop(job_id)
    job = await site.until(job_id, "Stopped")
    assert job["ReasonCode"] == "JobStoppedByUser"
    assert ended(int(child))
    assert ended(int(shell))


@pytest.mark.parametrize("leaving", ["setsid", "setsid -f"])
async def test_what_leaves_its_session_ends_with_the_job(
    site: Site, tmp_path: Path, leaving: str
) -> None:
    file = tmp_path / "pid"
    gone = f"{leaving} sh -c 'echo $$ > {file}; trap \"\" TERM; while :; do sleep 1; done' &"
    job_id = await site.run(
        f"{gone} while ! test -s {file}; do sleep 0.1; done; echo up; sleep 600"
    )
    await site.said(job_id, "up")
    pid = int(file.read_text())
    await site.pai.stop(job_id)
    site.pai.simulator.clock.advance(60)
    await site.until(job_id, "Stopped")
    site.pai.simulator.look()
    assert ended(pid)


async def test_what_a_command_leaves_behind_ends_with_it(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    gone = f"setsid -f sh -c 'echo $$ > {file}; exec sleep 600' >/dev/null 2>&1"
    job_id = await site.run(f"{gone}; while ! test -s {file}; do sleep 0.1; done; exit 3")
    job = await site.until(job_id, "Succeeded", "Failed")
    assert "code 3" in job["ReasonMessage"]
    assert ended(int(file.read_text()))


async def test_a_command_that_ends_its_group_does_not_end_its_guard(
    site: Site, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    gone = f"setsid -f sh -c 'echo $$ > {file}; exec sleep 600' >/dev/null 2>&1"
    job_id = await site.run(f"{gone}; while ! test -s {file}; do sleep 0.1; done; kill -KILL 0")
    job = await site.until(job_id, "Succeeded", "Failed")
    assert "code 137" in job["ReasonMessage"]
    assert ended(int(file.read_text()))


@pytest.mark.parametrize(
    "more", [{"UserCommand": "echo \0"}, {"UserCommand": "#" * 200_000}, {"Envs": {"A=B": "1"}}]
)
async def test_what_no_machine_could_run_fails_the_job(site: Site, more: dict[str, Any]) -> None:
    job_id = await site.pai.create(**more)
    job = await site.until(job_id, "Succeeded", "Failed")
    assert "code 126" in job["ReasonMessage"]
    assert "cannot be run" in (await site.logs(job_id))[0]
    assert (await site.until(await site.run("true"), "Succeeded"))["Status"]


async def test_a_command_that_does_not_listen_is_killed(start: Any) -> None:
    pai = start(
        "jobs: [{then: {creating_s: 0, queuing_s: 0, node_s: 0, image_pull: {pull_s: 0}, "
        "stopping_s: 0.3}}]",
        clock=ScaledClock(60.0),
        execute=True,
    )
    pai.clock = ScaledClock(1.0)
    site = Site(pai)
    job_id = await site.run("trap '' TERM; echo $$; echo ready; while :; do sleep 0.1; done")
    shell = (await site.said(job_id, "ready"))[0]
    await pai.stop(job_id)
    await site.until(job_id, "Stopped")
    pai.simulator.look()
    assert ended(int(shell))


async def test_a_limit_ends_a_command(site: Site) -> None:
    job_id = await site.run("echo $$; sleep 600", JobMaxRunningTimeMinutes=1)
    while not (lines := await site.logs(job_id)):
        pass
    site.pai.simulator.clock.advance(61)
    job = await site.until(job_id, "Stopped")
    assert job["ReasonCode"] == "JobMaxRunningTimeExceeded"
    site.pai.simulator.look()
    assert ended(int(lines[0]))


async def test_an_eviction_runs_the_command_again(start: Any, tmp_path: Path) -> None:
    pai = start(
        "jobs: [{then: {creating_s: 0, queuing_s: 0, node_s: 0, image_pull: {pull_s: 0}, "
        "interruptions: [{after_s: 50, new_node_s: 0.1, start_s: 0.1}]}}]",
        clock=ScaledClock(60.0),
        execute=True,
    )
    pai.clock = ScaledClock(1.0)
    site = Site(pai)
    file = tmp_path / "runs"
    job_id = await site.run(f"echo run >> {file}; test $(wc -l < {file}) = 2 || sleep 600")
    while not file.exists():
        await site.pai.get(job_id)
    pai.simulator.clock.advance(50)
    job = await site.until(job_id, "Succeeded", "Failed")
    assert (job["Status"], job["RestartTimes"]) == ("Succeeded", "1/10")
    assert file.read_text() == "run\nrun\n"


async def test_the_clock_runs_at_real_speed_meanwhile(site: Site) -> None:
    clock = site.pai.simulator.clock
    job_id = await site.run("echo ready; sleep 600")
    assert clock.speed == 1.0
    await site.said(job_id, "ready")
    await site.pai.stop(job_id)
    await site.until(job_id, "Stopped")
    site.pai.simulator.look()
    while clock.speed == 1.0:
        site.pai.simulator.look()
    assert clock.speed == 60.0


async def test_the_end_of_the_simulator_ends_commands(site: Site) -> None:
    job_id = await site.run("trap '' TERM; sleep 600 & echo $!; echo ready; wait; wait")
    child, _ = await site.said(job_id, "ready")
    site.pai.simulator.close()
    assert ended(int(child))
    assert site.pai.simulator.clock.speed == 60.0


def test_commands_need_a_clock_that_goes_by_itself() -> None:
    with pytest.raises(ConfigError, match="stands still"):
        PaiSimulator(clock=VirtualClock(), execute=True)
