"""What a load engine must be able to do: be told about cells, and be read as requests.

An engine is a request generator. It is started as a process of its own, told which cells to
run, and what it leaves behind is read into `CellRaw`; its own aggregates are evidence only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tidemark.plan.cells import Cell
from tidemark.plan.sweep import SweepPlan
from tidemark.results.requests import CellRaw

__all__ = ["Capabilities", "Engine", "EngineJob", "PlannedRun", "RawAttempt"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can and cannot give; what it cannot is NULL with a reason, never invented."""

    tasks: frozenset[str]
    dialects: frozenset[str]
    request_times: bool
    inter_token_latency: bool
    load_models: frozenset[str]
    exact_request_limit: bool


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One pass of an engine process: a cell, or a warm-up whose numbers are thrown away.

    `deadline_s` is the longest the pass may take, from the engine being ready for it, before the
    process is ended from outside.
    """

    run: int
    cell: Cell | None
    requests: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class EngineJob:
    """One engine process: its argv without anything secret, what it reads on standard input, and
    the passes it will make, in order.

    `stdin` may hold secrets and is never written anywhere. `environment` is the whole environment.
    """

    argv: tuple[str, ...]
    stdin: bytes = field(repr=False)
    environment: Mapping[str, str]
    runs: tuple[PlannedRun, ...]
    events_path: str
    output_directory: str


@dataclass(frozen=True, slots=True)
class RawAttempt:
    """What one pass left behind: the engine's files by name, and what they do not say.

    `files` maps a name such as `run.json` or `events.jsonl` to its bytes. `context` is what
    `attempt.json` records beside them (engine, version, exit status, times), JSON values only.
    """

    cell: Cell
    files: Mapping[str, bytes]
    context: Mapping[str, Any]


class Engine(Protocol):
    """A load engine: one implementation per tool."""

    name: str
    version: str
    capabilities: Capabilities

    def command(
        self,
        plan: SweepPlan,
        cells: Sequence[Cell],
        *,
        work_directory: str,
        secrets: Mapping[str, str],
        expected_e2e_s: Mapping[str, float],
        seed: int,
        warm_up: bool,
    ) -> EngineJob:
        """Describe the process that measures these cells, in this order.

        `secrets` maps references to their values, `expected_e2e_s` a scenario to the service time
        its users' starts are spread over. Raises PlanError for what the engine cannot do.
        """
        ...

    def read(self, files: Mapping[str, bytes], context: Mapping[str, Any]) -> CellRaw:
        """Read what one pass left behind. Pure: the same bytes give the same rows."""
        ...
