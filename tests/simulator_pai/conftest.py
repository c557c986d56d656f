"""A simulated cloud in this process, and a client that signs what it sends to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from pai_calls import Pai

from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import scenario_from_text

Start = Callable[..., Pai]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts simulators in this process; takes a scenario as YAML and PaiSimulator's arguments.
    The clock moves only when it is told to."""
    async with AsyncExitStack() as stack:

        def begin(scenario: str | None = None, **settings: Any) -> Pai:
            clock = settings.pop("clock", None) or VirtualClock()
            rules = scenario_from_text(scenario, "test") if scenario else None
            simulator = PaiSimulator(clock=clock, scenario=rules, **settings)
            stack.callback(simulator.close)
            http = httpx.AsyncClient(transport=simulator.transport())
            stack.push_async_callback(http.aclose)
            return Pai(simulator, clock, http)

        yield begin
