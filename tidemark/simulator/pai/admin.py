"""`/_simulator/…`: what the simulator holds, for whoever runs it on this machine.

GET  /_simulator/state      what every service holds
GET  /_simulator/bill       every billable second
GET  /_simulator/requests   the calls that came, without secrets
GET  /_simulator/scenario   the rules in force
POST /_simulator/scenario   other rules, as YAML or JSON; jobs keep the life they were given
GET  /_simulator/clock      its time
POST /_simulator/clock      {"advance_s": 3600}
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tidemark.clock import Clock
from tidemark.errors import ConfigError
from tidemark.simulator.clock import ScaledClock, VirtualClock
from tidemark.simulator.pai.asked import Answer, Asked
from tidemark.simulator.pai.callers import is_loopback
from tidemark.simulator.pai.json_text import json_value
from tidemark.simulator.pai.scenario import Scenario, scenario_from_text
from tidemark.simulator.pai.wire import WireError, refuse

__all__ = ["Admin"]

PREFIX = "/_simulator/"


class _Simulator(Protocol):
    clock: Clock

    @property
    def scenario(self) -> Scenario: ...

    def state(self) -> dict[str, Any]: ...

    def bill(self) -> dict[str, Any]: ...

    def requests(self) -> list[dict[str, Any]]: ...

    def play(self, scenario: Scenario) -> None: ...


class Admin:
    """Answers under `/_simulator/`, unsigned, and only to this machine."""

    def __init__(self, simulator: _Simulator) -> None:
        self._simulator = simulator
        self._answers: dict[tuple[str, str], Callable[[Asked], Mapping[str, Any]]] = {
            ("GET", "state"): lambda _: simulator.state(),
            ("GET", "bill"): lambda _: simulator.bill(),
            ("GET", "requests"): lambda _: {"requests": simulator.requests()},
            ("GET", "scenario"): lambda _: simulator.scenario.model_dump(
                mode="json", exclude_defaults=True
            ),
            ("POST", "scenario"): self._play,
            ("GET", "clock"): lambda _: self._clock(),
            ("POST", "clock"): self._advance,
        }

    def answer(self, asked: Asked) -> Answer:
        """Answer one request."""
        try:
            if not is_loopback(asked.client):
                refuse(403, "Forbidden", "Only this machine may look into the simulator.")
            answers = self._answers.get((asked.method, asked.raw_path.removeprefix(PREFIX)))
            if answers is None:
                raise WireError(404, "NotFound", f"Known: {', '.join(_known(self._answers))}")
            return Answer(200, json.dumps(answers(asked), ensure_ascii=False).encode(), {})
        except WireError as error:
            document = {"Code": error.code, "Message": error.message}
            return Answer(error.status, json.dumps(document).encode(), {})

    def _play(self, asked: Asked) -> Mapping[str, Any]:
        try:
            scenario = scenario_from_text(asked.body.decode("utf-8", "replace"), "the scenario")
            self._simulator.play(scenario)
        except ConfigError as error:
            refuse(400, "InvalidScenario", str(error))
        return {name: len(getattr(scenario, name)) for name in ("calls", "jobs", "tasks", "prices")}

    def _clock(self) -> Mapping[str, Any]:
        clock = self._simulator.clock
        speed = clock.speed if isinstance(clock, ScaledClock) else None
        return {"now_s": clock.time(), "speed": speed}

    def _advance(self, asked: Asked) -> Mapping[str, Any]:
        clock = self._simulator.clock
        if not isinstance(clock, VirtualClock | ScaledClock):
            refuse(400, "InvalidParameter", "This machine's own clock cannot be advanced.")
        try:
            seconds = json_value(asked.body)["advance_s"]
            good = not isinstance(seconds, bool) and math.isfinite(seconds) and seconds >= 0
        except (ValueError, KeyError, TypeError, OverflowError):
            good = False
        if not good:
            refuse(400, "InvalidParameter", 'Send {"advance_s": seconds}, 0 or more.')
        try:
            clock.advance(seconds)
        except ValueError as error:
            refuse(400, "InvalidParameter", f"{str(error).capitalize()}.")
        return self._clock()


def _known(answers: Mapping[tuple[str, str], Any]) -> list[str]:
    return [f"{method} {PREFIX}{name}" for method, name in answers]
