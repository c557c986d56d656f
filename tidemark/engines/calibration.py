"""Measuring the client floor: the same engine, on this machine, against an endpoint that knows
the truth.

An edge of the room, like `process.py`, whose sessions it uses: it starts the endpoint as a
process of its own and lays its record beside what the engine saw, request by request.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tidemark.engines.genai_bench import LAUNCHER, GenaiBench
from tidemark.engines.process import EngineSession
from tidemark.errors import EngineError, StoreError
from tidemark.plan.cells import Cell
from tidemark.plan.scenario import parse_scenario
from tidemark.plan.sweep import SweepPlan
from tidemark.results.client_floor import Floor, Timing, floor_from
from tidemark.results.metrics import summarise
from tidemark.results.requests import OK, CellRaw

__all__ = ["FloorLoad", "FloorStore", "measure_floor", "simulated_endpoint", "true_timings"]

REQUEST_HEADER = "x-tidemark-request"
GRID = 1.15
"""Latencies are rounded down to a grid of this ratio, so that floors can be shared: the floor's
load is then up to this much denser than the cell's, never thinner."""
LEAST_REQUESTS = 40
REQUESTS_PER_USER = 6
LEAST_LOAD_S = 8.0
"""A client near its limit falls behind only by and by: a shorter run would not see it."""
MOST_REQUESTS = 3000  # for a longer run; answers of no length would otherwise never end
LONGEST_S = 120.0
READY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class FloorLoad:
    """The load a floor is measured under. Times in seconds, on the grid.

    `output_tokens` is for scenarios that set no length of their own.
    """

    task: str
    scenario: str
    concurrency: int
    batch_size: int
    ttft_s: float
    tpot_s: float
    output_tokens: int
    prefix: str | None

    @classmethod
    def of(
        cls,
        plan: SweepPlan,
        cell: Cell,
        *,
        ttft_s: float,
        tpot_s: float | None,
        output_tokens: float | None,
    ) -> FloorLoad:
        """The load of a cell whose first tokens and tokens came at these times."""
        set_length = parse_scenario(cell.scenario).mean_output_tokens
        return cls(
            task=cell.task,
            scenario=cell.scenario,
            concurrency=cell.concurrency,
            batch_size=cell.batch_size,
            ttft_s=_on_grid(ttft_s),
            tpot_s=_on_grid(tpot_s or 0.0),
            output_tokens=max(1, math.ceil(set_length or output_tokens or 1)),
            prefix=plan.prefix.model_dump_json() if plan.prefix else None,
        )

    @property
    def service_time_s(self) -> float:
        """How long one request takes, about."""
        return self.ttft_s + self.tpot_s * self.output_tokens

    def covering(self) -> Iterator[FloorLoad]:
        """This load, then those that are a grid step denser: their floors hold for it too.

        Without them a latency that lies near a step would be calibrated on both sides of it.
        """
        for ttft_steps, tpot_steps in ((0, 0), (1, 0), (0, 1), (1, 1)):
            yield replace(
                self,
                ttft_s=_steps_below(self.ttft_s, ttft_steps),
                tpot_s=_steps_below(self.tpot_s, tpot_steps),
            )


def _on_grid(seconds: float) -> float:
    if seconds <= 1e-4:
        return 0.0
    # The margin keeps the floor's rate above the cell's where a latency lies on the grid.
    return _grid(math.floor(math.log(0.98 * seconds, GRID)))


def _grid(step: int) -> float:
    return float(f"{GRID**step:.6g}")


def _steps_below(on_grid_s: float, steps: int) -> float:
    return _grid(round(math.log(on_grid_s, GRID)) - steps) if on_grid_s > 0.0 else 0.0


class FloorStore:
    """Floors that were measured before, by machine, engine and load."""

    def __init__(self, directory: Path, machine: str, engine: GenaiBench) -> None:
        self.directory = directory
        self.machine = machine
        launcher = hashlib.sha256(LAUNCHER.read_bytes()).hexdigest()[:12]
        self.engine = f"{engine.name} {engine.version} launcher {launcher}"

    def _path(self, load: FloorLoad, tokenizer: str) -> Path:
        key = {**asdict(load), "machine": self.machine, "engine": self.engine}
        key["tokenizer"] = tokenizer
        text = json.dumps(key, sort_keys=True)
        return self.directory / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"

    def find(self, load: FloorLoad, tokenizer: str) -> Floor | None:
        """A floor measured under this load or one a step denser, or None.

        A file that is no floor counts as none.
        """
        for known in load.covering():
            with contextlib.suppress(OSError, StoreError):
                return Floor.from_json(self._path(known, tokenizer).read_text("utf-8"))
        return None

    def keep(self, load: FloorLoad, tokenizer: str, floor: Floor) -> None:
        """Remember a floor; the file appears whole."""
        path = self._path(load, tokenizer)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(floor.to_json(), "utf-8")
        temporary.replace(path)


@contextmanager
def simulated_endpoint(*options: str, record: Path | None = None) -> Iterator[dict[str, Any]]:
    """Run the endpoint that knows the truth; gives its ready line, `url` and `pid` among others.

    Raises EngineError when it does not start. It ends with the block, and with this process.
    """
    argv = [sys.executable, "-m", "tidemark.simulator.endpoint", "--port", "0"]
    argv += ["--parent-pid", str(os.getpid()), *options]
    if record is not None:
        argv += ["--record", str(record), "--record-header", REQUEST_HEADER]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        try:
            ready = json.loads(line)
        except ValueError:
            process.kill()
            words = process.stderr.read().decode("utf-8", "replace").strip()
            raise EngineError(
                f"the simulated endpoint did not start: {words[-300:]}",
                "tidemark.simulator.endpoint",
                "Run it by hand: tidemark simulate endpoint",
            ) from None
        yield ready
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def true_timings(record: Iterable[str]) -> dict[str, Timing]:
    """The endpoint's own record of whole answers, by the request header it was asked to keep."""
    found: dict[str, Timing] = {}
    for line in record:
        try:
            truth = json.loads(line)
        except ValueError:
            continue
        name = {key.lower(): value for key, value in truth["headers"].items()}.get(REQUEST_HEADER)
        if name is None or truth["outcome"] != "ok":
            continue
        arrival, first, last = truth["arrival_s"], truth["first_token_s"], truth["last_token_s"]
        tokens, end = truth["written_tokens"], truth["end_s"]
        streamed = first is not None and last is not None
        found[name] = Timing(
            ttft_s=first - arrival if streamed else None,
            tpot_s=(last - first) / (tokens - 1) if streamed and tokens > 1 else None,
            e2e_s=end - arrival,
        )
    return found


async def measure_floor(
    engine: GenaiBench,
    plan: SweepPlan,
    load: FloorLoad,
    *,
    machine: str,
    engine_name: str,
    directory: Path,
    on_progress: Callable[[float], None] | None = None,
) -> Floor:
    """Run the engine against the endpoint that knows the truth, under this load.

    Raises EngineError when the engine cannot be run, StoreError when no request could be matched.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, mode=0o700)
    record = directory / "truth.jsonl"
    options = (
        "--ttft-s", repr(load.ttft_s),
        "--tpot-s", repr(load.tpot_s),
        "--default-output-tokens", str(load.output_tokens),
        "--max-seconds", "1800",
    )  # fmt: skip
    rounds = max(REQUESTS_PER_USER, math.ceil(LEAST_LOAD_S / max(1e-3, load.service_time_s)))
    least = max(LEAST_REQUESTS, REQUESTS_PER_USER * load.concurrency)
    requests = max(least, min(rounds * load.concurrency, MOST_REQUESTS))
    with simulated_endpoint(*options, record=record) as endpoint:
        floor_plan = _floor_plan(plan, load, endpoint["url"], requests)
        cell = Cell(
            cell_id="floor",
            scenario=load.scenario,
            task=load.task,
            concurrency=load.concurrency,
            batch_size=load.batch_size,
            repeat_idx=0,
            order_idx=0,
        )
        async with EngineSession(
            engine,
            floor_plan,
            [cell],
            directory=directory / "engine",
            secrets={},
            seed=1,
            expected_e2e_s={load.scenario: load.service_time_s},
            request_header=REQUEST_HEADER,
            on_progress=(
                (lambda moment: on_progress(moment.finished / max(1, moment.requests)))
                if on_progress
                else None
            ),
        ) as session:
            attempt = await session.measure(cell)
    raw = engine.read(attempt.files, attempt.context)
    if raw.failure is not None:
        raise EngineError(
            f"the client floor could not be measured: {raw.failure.evidence}",
            f"floor at {load.scenario}, concurrency {load.concurrency}",
            raw.failure.advice,
        )
    # The whole record is written when the endpoint ends.
    lines = await asyncio.to_thread(record.read_text, "utf-8")
    floor = floor_from(
        _pairs(attempt.files["events.jsonl"], raw, true_timings(lines.splitlines())),
        scenario=load.scenario,
        concurrency=load.concurrency,
        request_rate_rps=summarise(raw, task=load.task).value("request_rate_rps"),
        loop_lag_p50_s=raw.loop_lag_p50_s,
        loop_lag_p99_s=raw.loop_lag_p99_s,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        engine=engine_name,
    )
    shutil.rmtree(directory, ignore_errors=True)
    return floor


def _floor_plan(plan: SweepPlan, load: FloorLoad, url: str, requests: int) -> SweepPlan:
    """The plan's traffic against the endpoint that knows the truth, and nothing of its service."""
    document = plan.model_dump(mode="json")
    wave_s = load.service_time_s * math.ceil(requests / load.concurrency)
    document |= {
        "endpoint": {"url": url, "model": "floor", "dialect": "vllm"},
        "scenarios": [load.scenario],
        "concurrency": [load.concurrency],
        "batch_sizes": [load.batch_size],
        "repeats": 1,
        "warmup": {"requests": load.concurrency, "concurrency": load.concurrency},
        "limits": {
            "max_requests": requests,
            "max_time_s": max(5.0, min(LONGEST_S, 2 * wave_s + 5.0)),
            "drain_s": load.service_time_s + 10.0,
        },
        "request": {},
        "slo": None,
        "system": {},
        "token_counts": "server",
    }
    return SweepPlan.model_validate(document)


def _pairs(events: bytes, raw: CellRaw, truth: Mapping[str, Timing]) -> list[tuple[Timing, Timing]]:
    """(client, truth) for each answered request within the window, in start order."""
    run = json.loads(events.splitlines()[0])["run"]
    window = raw.window
    pairs = []
    for row in sorted(raw.rows, key=lambda row: row.start_s or 0.0):
        true = truth.get(f"{run}-{row.request_idx}")
        if row.status != OK or true is None or row.start_s is None:
            continue
        if window is not None and not window.start_s <= row.start_s < window.end_s:
            continue
        pairs.append((Timing.of(row), true))
    return pairs
