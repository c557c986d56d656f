"""A simulated cloud in this process, and accounts that speak to it by a clock that jumps."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tidemark.alibaba.account import Account
from tidemark.alibaba.answers import read
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.simulator.authorization import SimulatorAuthorization
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import scenario_from_text

ADDRESS = "http://pai.simulator"
LEAVE = SimulatorAuthorization()


@dataclass
class Cloud:
    """A simulator, its clock, and an account's channel to it."""

    simulator: PaiSimulator
    clock: VirtualClock
    account: Account

    @property
    def dlc(self) -> Dlc:
        return Dlc(self.account)

    def play(self, text: str) -> None:
        self.simulator.play(scenario_from_text(text, "test"))

    def calls(self, action: str) -> list[dict[str, Any]]:
        return [seen for seen in self.simulator.requests() if seen["action"] == action]

    @property
    def jobs(self) -> dict[str, str]:
        """The status of each job that is not deleted, by id, as the simulator knows it."""
        state = self.simulator.state()
        found = {}
        for job_id, job in state["jobs"].items():
            begun = [one for one in job["segments"] if one["start_s"] <= state["now_s"]]
            if not job["deleted"]:
                found[job_id] = begun[-1]["status"]
        return found


def cloud(scenario: str | None = None, *, calls_per_s: float = 10_000.0, **more: Any) -> Cloud:
    """A new cloud, with a scenario as YAML."""
    clock = VirtualClock(jump=True)
    rules = scenario_from_text(scenario, "test") if scenario else None
    simulator = PaiSimulator(clock=clock, scenario=rules, **more)
    account = Account(
        StaticCredentials.of("LTAIsimulator", "simulator-secret"),
        "cn-hangzhou",
        endpoints=ADDRESS,
        transport=simulator.transport(),
        clock=clock,
        settings=ChannelSettings(calls_per_s=calls_per_s, burst=1),
        draw=random.Random(11),
    )
    return Cloud(simulator, clock, account)


def request(name: str = "bench-1", **more: Any) -> CreateJob:
    """A small job."""
    spec = {"image": "registry.example.com/bench:1", "resources": {"ecs_spec": "ecs.c6.large"}}
    given = {
        "display_name": name,
        "user_command": "echo tide",
        "workspace_id": "",
        "job_specs": [spec],
        "tags": {"tidemark": "test", "attempt": name},
    }
    return read(CreateJob, {**given, "workspace_id": "1", **more}, "CreateJob")
