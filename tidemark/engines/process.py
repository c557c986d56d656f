"""Running a load engine: one process group, watched from outside, read while it works.

This is the edge of the room: the only place that starts, follows and ends engine processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tidemark.engines.genai_bench import GenaiBench
from tidemark.engines.protocol import EngineJob, PlannedRun, RawAttempt
from tidemark.errors import EngineError
from tidemark.plan.cells import Cell
from tidemark.plan.sweep import SweepPlan

__all__ = ["EngineSession", "Progress", "Standby", "prestart"]

POLL_INTERVAL_S = 0.1
START_DEADLINE_S = 180.0
END_GRACE_S = 3.0
LOG_TAIL_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the pass that is running has come. `cell` is None during a warm-up."""

    cell: Cell | None
    finished: int
    requests: int
    elapsed_s: float


@dataclass(slots=True)
class Standby:
    """An engine process that has done its slow import and waits for a job on standard input."""

    process: subprocess.Popen[bytes]
    log: Path
    directory: Path

    def discard(self) -> None:
        """End it unused."""
        end_group(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)


def prestart(engine: GenaiBench, directory: Path) -> Standby:
    """Start the engine ahead of its job, so that its import overlaps with other preparations."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / "owner.pid").write_text(str(os.getpid()), "utf-8")
    log = directory / "engine.log"
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(directory)}
    environment |= {
        "ENABLE_UI": "false",
        "GENAI_BENCH_LOGGING_LEVEL": "WARNING",
        "TOKENIZERS_PARALLELISM": "false",
        "DO_NOT_TRACK": "1",
    }
    return Standby(_start(engine.prestart_argv(), environment, log), log, directory)


def _start(
    argv: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, "TIDEMARK_PARENT_PID": str(os.getpid())},
                start_new_session=True,
            )
    except OSError as error:
        raise EngineError(
            f"the engine could not be started ({error.strerror})",
            str(argv[0]),
            "Run `tidemark engines install genai-bench`, then `tidemark engines check`",
        ) from error


def end_group(process: subprocess.Popen[bytes], grace_s: float = END_GRACE_S) -> None:
    """End a process and all it started: first asked, then killed. Returns when it is gone."""
    for how, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            continue
        break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # children that outlived their leader


@dataclass(slots=True)
class _Running:
    """A live engine process and what has been read of its events so far."""

    job: EngineJob
    process: subprocess.Popen[bytes]
    log: Path
    started_at: float
    stream: IO[bytes] | None = None
    partial: bytes = b""
    lines: dict[int, list[bytes]] = field(default_factory=dict)
    state: dict[int, dict[str, Any]] = field(default_factory=dict)
    ready_at: float | None = None
    engine_version: str | None = None
    messages: list[str] = field(default_factory=list)
    finished: dict[int, int] = field(default_factory=dict)
    closed: bool = False

    def poll(self) -> None:
        """Read the events written since the last look; none any more once closed."""
        if self.closed:
            return
        if self.stream is None:
            if not os.path.exists(self.job.events_path):
                return
            self.stream = open(self.job.events_path, "rb")  # noqa: SIM115 - held while it grows
        block = self.partial + self.stream.read()
        *whole, self.partial = block.split(b"\n")
        for line in whole:
            event = json.loads(line)
            run = event.get("run")
            if event["event"] == "engine_ready":
                self.ready_at = event["t"]
                self.engine_version = event["version"]
            elif event["event"] == "engine_error" and run is None:
                self.messages.append(event["message"])
            if run is None:
                continue
            self.lines.setdefault(run, []).append(line)
            if event["event"] == "request":
                self.finished[run] = self.finished.get(run, 0) + 1
            else:
                self.state.setdefault(run, {})[event["event"]] = event

    def close(self) -> None:
        self.closed = True
        if self.stream is not None:
            self.stream.close()
            self.stream = None


class EngineSession:
    """Measures cells one after another, in as few engine processes as the engine allows.

    Use as an async context manager; leaving it ends every process it started. `measure` is asked
    for the cells in the order they were given and answers with what the engine left behind. An
    engine that dies or overstays its deadline costs the cell it was in; the next call starts a new
    process with the cells that are left.
    """

    def __init__(
        self,
        engine: GenaiBench,
        plan: SweepPlan,
        cells: Sequence[Cell],
        *,
        directory: Path,
        secrets: Mapping[str, str],
        seed: int,
        expected_e2e_s: Mapping[str, float] | None = None,
        standby: Standby | None = None,
        request_header: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.plan = plan
        self.cells = tuple(cells)
        self.directory = directory
        self.secrets = dict(secrets)
        self.seed = seed
        self.expected_e2e_s = dict(expected_e2e_s or {})
        self.standby = standby
        self.request_header = request_header
        self.on_progress = on_progress
        self.clock = clock
        self.processes = 0
        self._running: _Running | None = None

    async def __aenter__(self) -> EngineSession:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.end()

    async def end(self) -> None:
        """End whatever still runs."""
        running, self._running = self._running, None
        if running is not None:
            running.close()
            await asyncio.to_thread(end_group, running.process)
        if self.standby is not None:
            standby, self.standby = self.standby, None
            await asyncio.to_thread(standby.discard)

    async def measure(self, cell: Cell) -> RawAttempt:
        """Wait until `cell` has been measured, and give what the engine left behind.

        Never raises for what the engine or the endpoint did: that is in the attempt's context, as
        a failure with class, evidence and advice. Raises EngineError when no engine can be started.
        """
        running, planned = self._find(cell)
        while True:
            running.poll()
            state = running.state.get(planned.run, {})
            self._report(running, planned)
            if "run_saved" in state:
                self._reap(running)
                return self._attempt(running, planned, None)
            if running.process.poll() is not None:
                running.poll()
                if "run_saved" in running.state.get(planned.run, {}):
                    continue
                return await self._lost(running, planned, self._why_dead(running, planned))
            overdue = self._overdue(running, planned)
            if overdue:
                return await self._lost(running, planned, overdue)
            await asyncio.sleep(POLL_INTERVAL_S)

    # -- processes -----------------------------------------------------------------------

    def _find(self, cell: Cell) -> tuple[_Running, PlannedRun]:
        running = self._running
        if running is not None and running.process.poll() is None:
            for planned in running.job.runs:
                if planned.cell == cell and "run_saved" not in running.state.get(planned.run, {}):
                    return running, planned
        if running is not None:
            # A finished process may still hold the pass that was asked for.
            running.poll()
            for planned in running.job.runs:
                if planned.cell == cell and "run_saved" in running.state.get(planned.run, {}):
                    return running, planned
            running.close()
            end_group(running.process, grace_s=0.5)
        place = self.cells.index(cell)
        running = self._launch(self.cells[place:])
        return running, next(planned for planned in running.job.runs if planned.cell == cell)

    def _launch(self, cells: Sequence[Cell]) -> _Running:
        self.processes += 1
        work = self.directory / f"process-{self.processes}"
        work.mkdir(parents=True, mode=0o700)
        job = self.engine.command(
            self.plan,
            cells,
            work_directory=str(work),
            secrets=self.secrets,
            expected_e2e_s=self.expected_e2e_s,
            seed=self.seed + self.processes,
            warm_up=True,
            request_header=self.request_header,
        )
        standby, self.standby = self.standby, None
        if standby is not None and standby.process.poll() is None:
            process, log = standby.process, standby.log
            document = json.loads(job.stdin)
            document["env"] = {**job.environment, **document["env"]}
            stdin = json.dumps(document).encode()
        else:
            log = work / "engine.log"
            process, stdin = _start(job.argv, job.environment, log), job.stdin
        with contextlib.suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
        self._running = _Running(job, process, log, self.clock())
        return self._running

    def _reap(self, running: _Running) -> None:
        """Once the last pass is there nothing more is wanted of the process."""
        if all("run_saved" in running.state.get(planned.run, {}) for planned in running.job.runs):
            running.close()
            end_group(running.process, grace_s=0.5)

    # -- what went wrong -----------------------------------------------------------------

    def _overdue(self, running: _Running, planned: PlannedRun) -> dict[str, str] | None:
        now = self.clock()
        if not running.state:
            waited_s = now - running.started_at
            if waited_s > START_DEADLINE_S:
                return _failure(
                    "engine_start",
                    f"no pass had begun after {waited_s:.0f} s",
                    "Run `tidemark engines check`; see the engine's log in the raw files",
                )
            return None
        began = running.state.get(planned.run, {}).get("run_start")
        if began is None:
            # Still in an earlier pass or a warm-up: its own deadline counts.
            earlier = [other for other in running.job.runs if other.run < planned.run]
            reached = [
                other for other in earlier if "run_start" in running.state.get(other.run, {})
            ]
            if not reached:
                return None
            planned = reached[-1]
            began = running.state[planned.run]["run_start"]
            since = running.state[planned.run].get("run_saved", began)["t"]
        else:
            since = began["t"]
        if now - since > planned.deadline_s:
            return _failure(
                "engine_timeout",
                f"the pass was not over {now - since:.0f} s after it began "
                f"(deadline {planned.deadline_s:.0f} s)",
                "The client or the endpoint hangs: look at the requests that never ended",
            )
        return None

    def _why_dead(self, running: _Running, planned: PlannedRun) -> dict[str, str]:
        status = running.process.returncode
        last = running.messages[-1] if running.messages else _last_line(_tail(running.log))
        if status < 0:
            last = ""  # what it said before has nothing to do with it
        how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
        began = "run_start" in running.state.get(planned.run, {})
        if status < 0:
            advice = "Something killed the engine: look for the out-of-memory killer or a shutdown"
        elif not running.state:
            advice = (
                "The engine refused its options or could not load the tokenizer or data set: "
                "see its log in the raw files, and run `tidemark engines check`"
            )
        else:
            advice = "See the engine's log in the raw files"
        return _failure(
            "engine_crashed" if began else "engine_start",
            f"the engine stopped ({how}){': ' + last if last else ''}",
            advice,
        )

    async def _lost(
        self, running: _Running, planned: PlannedRun, failure: dict[str, str]
    ) -> RawAttempt:
        self._running = None
        await asyncio.to_thread(end_group, running.process)
        running.poll()
        running.close()
        return self._attempt(running, planned, failure)

    # -- what is handed over -------------------------------------------------------------

    def _attempt(
        self, running: _Running, planned: PlannedRun, failure: dict[str, str] | None
    ) -> RawAttempt:
        assert planned.cell is not None
        state = running.state.get(planned.run, {})
        files: dict[str, bytes] = {}
        lines = running.lines.get(planned.run)
        if lines:
            files["events.jsonl"] = b"\n".join(lines) + b"\n"
        kept = state.get("run_saved", {}).get("file")
        if kept:
            files["run.json"] = Path(kept).read_bytes()
        metadata = Path(running.job.output_directory) / "experiment_metadata.json"
        if metadata.exists():
            files["experiment_metadata.json"] = metadata.read_bytes()
        if failure is not None or not kept:
            files["engine.log"] = _tail(running.log)
        context: dict[str, Any] = {
            "engine": self.engine.name,
            "engine_version": running.engine_version or self.engine.version,
            "task": self.plan.task,
            "stall_timeout_s": self.plan.limits.stall_timeout_s,
            "requests_planned": planned.requests,
            "run_seed": json.loads(running.job.stdin)["runs"][planned.run]["seed"],
            "failure": failure,
            "notes": [],
        }
        return RawAttempt(planned.cell, files, context)

    def _report(self, running: _Running, planned: PlannedRun) -> None:
        if self.on_progress is None:
            return
        current = planned
        for other in running.job.runs:
            state = running.state.get(other.run, {})
            if "run_start" in state and "run_saved" not in state:
                current = other
        began = running.state.get(current.run, {}).get("run_start")
        self.on_progress(
            Progress(
                current.cell,
                running.finished.get(current.run, 0),
                current.requests,
                self.clock() - began["t"] if began else 0.0,
            )
        )


def _failure(error_class: str, evidence: str, advice: str) -> dict[str, str]:
    return {"error_class": error_class, "evidence": evidence, "advice": advice}


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            return log.read()
    except OSError:
        return b""


def _last_line(log: bytes) -> str:
    lines = [line.strip() for line in log.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
