"""The world of one case: a simulated cloud with other people's jobs in it, a home and a store."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from dlc_clock import DrillClock
from starlette.types import Receive, Scope, Send

from tidemark.alibaba.account import Account
from tidemark.alibaba.answers import read
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.job_names import job_name, job_tags
from tidemark.clock import SystemClock
from tidemark.config import load_config
from tidemark.money.opening import open_ledger
from tidemark.simulator.authorization import SimulatorAuthorization
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import scenario_from_text

__all__ = ["INSTALLATION", "PLAN", "JobSeen", "Road", "World"]

INSTALLATION = "d411d411d411"
OTHER = "0badcafe0bad"
IMAGE = "registry.example.com/bench:1"
SPEC = "ecs.c6.large"

PLAN: dict[str, Any] = {
    "name": "drill",
    "command": "echo tide",
    "machine": {"spec": SPEC},
    "image": IMAGE,
    "expected_s": 600,
    "limits": {"poll_interval_s": 180, "total_s": 1200},
}

# Ours queues, pulls its image, runs and ends; each phase is looked at at least once.
SCENARIO = """
jobs:
  - {when: {name: "*-colleague-*"}, then: {running_s: never}}
  - when: {name: "*"}
    then: {queuing_s: 90, node_s: 30, image_pull: {pull_s: 180, layers: 4}, running_s: 600,
           logs: ["tide comes", "tide goes"], visible_after_s: 20}
"""

ENDLESS = "jobs: [{then: {running_s: never}}]"

_ENDED = frozenset(("Succeeded", "Failed", "Stopped"))


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A job as the cloud itself knows it. `billed_s` are machine-seconds."""

    job_id: str
    name: str
    status: str
    billed_s: Decimal
    amount: Decimal

    @property
    def runs(self) -> bool:
        """Whether it is billed, or may yet be."""
        return self.status not in _ENDED


class Road:
    """What a server's address leads to: the cloud of the case that is under way."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one call there."""
        await self.app(scope, receive, send)


@dataclass
class World:
    """One case's folder with its clock, home and store; and its cloud."""

    folder: Path
    clock: DrillClock
    simulator: PaiSimulator
    others: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def make(cls, folder: Path, template: Path, now_s: float) -> World:
        """A new world, with what `template` holds: a home with a ledger, and a store with results
        of an earlier night."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        home = load_config({"TIDEMARK_HOME": str(folder / "home")}, folder)
        ledger = open_ledger(home, SystemClock(), create=False)
        ledger.claim_file()
        ledger.close()
        clock = DrillClock(folder / "clock", start_s=now_s)
        simulator = PaiSimulator(
            clock=clock, signature_clock=clock, scenario=scenario_from_text(SCENARIO, "drill")
        )
        world = cls(folder, clock, simulator)
        await world._settle_others()
        return world

    async def settle_clones(self, run_id: str) -> None:
        """Other people's copies of a run's job: with its tags, or with its name."""
        name, tags = job_name(INSTALLATION, run_id, 1), job_tags(INSTALLATION, run_id, 1, "0" * 64)
        self.simulator.play(scenario_from_text(ENDLESS, "drill"))
        await self._settle(
            (f"{name}-copy", tags),
            (name, {"team": "search"}),
            (name, job_tags(OTHER, run_id, 1, "0" * 64)),
        )
        self.simulator.play(scenario_from_text(SCENARIO, "drill"))

    async def _settle_others(self) -> None:
        """Other people's jobs, some of which look like ours."""
        run = "20260101t000000-colleague-1"
        ours = job_tags(INSTALLATION, run, 1, "0" * 64)
        theirs = job_tags(OTHER, run, 1, "0" * 64)
        await self._settle(
            ("training-colleague-7", {"team": "search"}),
            (job_name(OTHER, run, 1), theirs),
            # A name like ours says nothing without the tags, nor tags without the name.
            (job_name(INSTALLATION, run, 1), {"team": "search"}),
            ("copy-of-colleague-job", ours),
            (job_name(OTHER, run, 2), ours),
            ("tidemark-script-colleague-1", {"tidemark": "script"}),
        )

    async def _settle(self, *given: tuple[str, dict[str, str]]) -> None:
        account = Account(
            StaticCredentials.of("LTAIsimulator", "simulator-secret"),
            "cn-hangzhou",
            endpoints="http://pai.simulator",
            transport=self.simulator.transport(),
            clock=self.clock,
        )
        async with account:
            for name, tags in given:
                job_id = await Dlc(account).create_job(
                    _request(name, tags), authorization=SimulatorAuthorization()
                )
                self.others[job_id] = name

    def jobs(self) -> list[JobSeen]:
        """All jobs there ever were."""
        state, bill = self.simulator.state(), self.simulator.bill()
        billed = {one["resource"]: one for one in bill["resources"]}
        found = []
        for job_id, job in state["jobs"].items():
            begun = [one for one in job["segments"] if one["start_s"] <= state["now_s"]]
            costs = billed.get(job_id, {})
            found.append(
                JobSeen(
                    job_id,
                    job["name"],
                    begun[-1]["status"],
                    Decimal(costs.get("seconds") or 0),
                    Decimal(costs.get("amount") or 0),
                )
            )
        return found

    def ours(self) -> list[JobSeen]:
        """The jobs that are not other people's."""
        return [job for job in self.jobs() if job.job_id not in self.others]

    def stopped_others(self) -> list[str]:
        """Other people's jobs that do not run any more."""
        return [
            f"{job.name} is {job.status}"
            for job in self.jobs()
            if job.job_id in self.others and not job.runs
        ]

    def attempts(self) -> Counter[str]:
        """How many jobs there ever were of each attempt."""
        return Counter(job.name for job in self.ours())

    def note(self, name: str) -> dict[str, Any] | None:
        """What a process wrote."""
        path = self.folder / name
        if not path.exists():
            return None
        noted: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return noted


def _request(name: str, tags: dict[str, str]) -> CreateJob:
    spec = {"image": IMAGE, "resources": {"ecs_spec": SPEC}}
    given = {
        "display_name": name,
        "user_command": "sleep infinity",
        "workspace_id": "268",
        "job_specs": [spec],
        "tags": tags,
    }
    return read(CreateJob, given, "CreateJob")
