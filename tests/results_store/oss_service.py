"""The simulated OSS on a port of this machine, with what it holds at hand."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from typing import Any

import uvicorn

from tidemark.simulator.oss.app import OssSimulator
from tidemark.simulator.pai.scenario import Scenario, scenario_from_text

SECRET = "simulator-secret"


class OssService:
    """Serves a simulator from a thread, and goes away and comes back with all that it holds."""

    def __init__(self) -> None:
        self.simulator = OssSimulator()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint_url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, and return once it does."""
        config = uvicorn.Config(
            self.simulator.app,
            port=self.port,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=0,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.005)
        assert self._server.started

    def stop(self) -> None:
        """Take no more connections, and drop those there are."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def play(self, rules: str = "") -> None:
        """Let calls go wrong by rules in YAML, or go well again."""
        self.simulator.play(scenario_from_text(rules, "rules") if rules else Scenario())

    def objects(self, bucket: str) -> dict[str, Any]:
        """What a bucket holds, by key."""
        held: dict[str, Any] = self.simulator.state()["buckets"][bucket]["objects"]
        return held

    def heard(self) -> Counter[str]:
        """How often each operation was asked for."""
        return Counter(self.simulator.bill()["requests"])
