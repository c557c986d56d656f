"""PAI's services on a port of this machine, by a clock that stands until it is advanced, or that
runs fast."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import uvicorn

from tidemark.alibaba.account import Account
from tidemark.alibaba.answers import read
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.eas import Eas
from tidemark.alibaba.eas_requests import BenchmarkBody
from tidemark.clock import Clock, SystemClock
from tidemark.simulator.authorization import SimulatorAuthorization
from tidemark.simulator.clock import ScaledClock, VirtualClock
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import scenario_from_text

LEAVE = SimulatorAuthorization()
KEY_ID, KEY_SECRET = "LTAIsimulator", "simulator-secret"
_T = TypeVar("_T")


class Served:
    """A simulated cloud, what is in it, and the variables that lead a command there."""

    def __init__(
        self,
        simulator: PaiSimulator,
        clock: VirtualClock | ScaledClock,
        url: str = "",
        callers: Clock | None = None,
    ) -> None:
        self.simulator = simulator
        self.clock = clock
        self.url = url
        self._callers = callers or clock

    def lead(self, monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
        """Set the variables."""
        environ = {
            "TIDEMARK_PAI_ENDPOINT": self.url,
            "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY_ID,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": KEY_SECRET,
            # Registries are asked for digests; none is reached from here.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            **more,
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    def play(self, text: str) -> None:
        self.simulator.play(scenario_from_text(text, "test"))

    def calls(self, action: str) -> list[dict[str, Any]]:
        return [seen for seen in self.simulator.requests() if seen["action"] == action]

    def do(self, work: Callable[[Account], Awaitable[_T]]) -> _T:
        """Do something with an account that reaches the simulator without a network."""

        async def carry() -> _T:
            async with Account(
                StaticCredentials.of(KEY_ID, KEY_SECRET),
                "cn-hangzhou",
                endpoints="http://pai.simulator",
                transport=self.simulator.transport(),
                clock=self._callers,
                settings=ChannelSettings(calls_per_s=10_000.0),
            ) as account:
                return await work(account)

        return asyncio.run(carry())

    def create(self, name: str = "bench-1", *, lend: Mapping[str, str] | None = None, **more: Any):
        """Create a job; its id."""
        image = "registry.example.com/bench:1"
        given = {
            "display_name": name,
            "user_command": "echo tide",
            "workspace_id": "268",
            "job_specs": [{"image": image, "resources": {"ecs_spec": "ecs.c6.large"}}],
            "tags": {"tidemark": "test"},
            **more,
        }
        request = read(CreateJob, given, "CreateJob")
        return self.do(
            lambda account: Dlc(account).create_job(request, authorization=LEAVE, lend=lend)
        )

    def stress(self, name: str = "night-1", token: str = "test_token", **base: Any) -> str:
        """Create a stress test of the service that is there; its name."""
        given = {
            "base": {"name": name, "duration": 60, "qps": 50, **base},
            "service": {"serviceName": "test_service", "requestToken": "env:SERVICE_TOKEN"},
            "data": {"path": "https://example.com/warm-up.bin"},
        }
        body = read(BenchmarkBody, given, "CreateBenchmarkTask")
        lent = {"env:SERVICE_TOKEN": token}
        created = self.do(
            lambda account: Eas(account).create_benchmark_task(body, authorization=LEAVE, lend=lent)
        )
        return created.task_name

    def status(self, job_id: str) -> str:
        return self.do(lambda account: Dlc(account).get_job(job_id)).status


def jumping(scenario: str) -> Served:
    """A new cloud without a port, whose clock jumps while whoever uses it waits."""
    clock = VirtualClock(jump=True)
    simulator = PaiSimulator(clock=clock, scenario=scenario_from_text(scenario, "test"))
    return Served(simulator, clock)


@contextmanager
def serving(
    scenario: str = "{}", *, clock: VirtualClock | ScaledClock | None = None, **more: Any
) -> Iterator[Served]:
    """Serve a new cloud from a thread, and end it with the block."""
    clock = clock or VirtualClock(start_s=time.time())
    simulator = PaiSimulator(
        clock=clock,
        signature_clock=SystemClock(),
        scenario=scenario_from_text(scenario, "test"),
        **more,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(simulator.app, log_config=None, access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield Served(simulator, clock, url, SystemClock())
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
