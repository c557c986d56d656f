"""One case of the drill: a run with one fault in it, what is done after it, and what must hold."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import certifi
import uvicorn
from dlc_points import Fault, Point
from dlc_process import Task, play
from dlc_world import INSTALLATION, PLAN, Road, World

from tidemark.alibaba.job_quote import QuoteSettings
from tidemark.cli.prefect_server import TemporaryServer
from tidemark.cli.verify import READERS_OF_ENGINES
from tidemark.clock import SystemClock
from tidemark.config import load_config
from tidemark.errors import LedgerError
from tidemark.money.ledger import Ledger, LedgerRun
from tidemark.money.opening import open_ledger
from tidemark.results.layout import manifest_path
from tidemark.results.store import open_store
from tidemark.results.verify import verify

__all__ = ["Case", "Outcome", "Range", "drilled"]

EARLIER_RUN = "20261121T030000-0badcafe"
PROCESS_S = 120.0
"""No process of a case takes longer, on a machine that is busy."""

UNUSED_SERVICES = ("EVENT_PERSISTER", "LATE_RUNS", "SCHEDULER", "TASK_RUN_RECORDER", "TRIGGERS")
_SMALLEST = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Case:
    """A fault at a point; without one, the run that records the points."""

    point: Point | None = None
    fault: Fault | None = None

    def __str__(self) -> str:
        return f"{self.point}:{self.fault}" if self.point else "recording"

    @classmethod
    def of(cls, text: str) -> Case:
        """A case as it was written. Raises ValueError for another text."""
        point, _, fault = text.rpartition(":")
        return cls(Point.of(point), Fault(fault))


@dataclass(slots=True)
class Outcome:
    """What came of a case. `problems` are what did not hold; `missed` that the fault never came,
    since the run went another way."""

    case: str
    missed: bool = False
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the fault came and all held."""
        return not self.missed and not self.problems


@dataclass
class Range:
    """Where cases are played: a Prefect server for all of them, a cloud's address for each that is
    played at once, and a server that processes are forked from."""

    folder: Path
    template: Path
    prefect_url: str
    processes: ForkServerContext
    roads: asyncio.Queue[tuple[Road, str]]

    async def play(self, case: Case, *, keep: bool = False) -> Outcome:
        """Play one case. Its folder stays where something did not hold, or to `keep` it."""
        road, url = await self.roads.get()
        folder = self.folder / "cases" / str(case).replace("/", "_").replace(" ", "-")
        begun_s = time.monotonic()
        try:
            world = await World.make(folder, self.template, time.time())
            road.app = world.simulator.app
            player = _Player(self, world, case, url)
            outcome = await player.play()
        finally:
            self.roads.put_nowait((road, url))
        outcome.seconds = round(time.monotonic() - begun_s, 1)
        if outcome.passed and not keep:
            shutil.rmtree(folder, ignore_errors=True)
        return outcome

    async def run(self, task: Task, limit_s: float = PROCESS_S) -> int | None:
        """Let a process do something; its exit status, None if it did not end in time."""
        process = self.processes.Process(target=play, args=(task,))
        process.start()
        return await _ended(process, limit_s)


@dataclass
class _Player:
    range: Range
    world: World
    case: Case
    url: str
    problems: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)

    async def play(self) -> Outcome:
        status = await self._run("flow", self.case.point, self.case.fault)
        outcome = Outcome(str(self.case), problems=self.problems, told=self.told)
        if self.case.point is None:
            done = self.world.note("flow.json")
            if done is None or done["state"] != "Completed":
                self.problems.append(f"the recording run did not complete: {done}")
            self.told["points"] = done["points"] if done else []
            self._check("after the run")
            return outcome
        if self.world.note("reached.json") is None:
            outcome.missed = True
            return outcome
        self.told["flow"] = self._state("flow") or f"exit status {status}"
        run_id = self._run_id()
        if run_id is not None:
            await self.world.settle_clones(run_id)
        await self._hook()
        died = self.world.note("flow.json") is None
        # The reaper comes when the lease has expired, at any moment of its interval.
        dice = random.Random(str(self.case))
        times = QuoteSettings()
        self.world.clock.advance(times.lease_ttl_s + dice.uniform(1, times.reaper_interval_s))
        await self._run("reap")
        reaped = self.world.note("reap.json")
        if reaped is None:
            self.problems.append("the reaper's pass ended by an error")
        else:
            self.told["reaped"] = [reaped["stopped"], reaped["left"]]
        self._check("after the reaper's pass", died=died)
        if not self._is_over():
            await self._run("resume")
            self.told["resumed"] = self._state("resume")
            self._check("after the run was gone on with", died=died)
        await asyncio.to_thread(self._check_results)
        return outcome

    def _state(self, role: str) -> str | None:
        done = self.world.note(f"{role}.json")
        return f"{done['state']}: {(done['message'] or '')[:300]}" if done else None

    def _is_over(self, role: str = "flow") -> bool:
        done = self.world.note(f"{role}.json")
        return done is not None and done["state"] == "Completed"

    async def _hook(self) -> None:
        if self.case.fault is Fault.KILLED_HOOK:
            await self._run("hook crashed")
        elif self.case.fault is Fault.CANCELLED and not self._is_over():
            await self._run("hook cancelled")

    async def _run(
        self, role: str, point: Point | None = None, fault: Fault | None = None
    ) -> int | None:
        task = Task(
            role=role,
            folder=self.world.folder,
            url=self.url,
            prefect_url=self.range.prefect_url,
            plan=PLAN,
            point=point,
            fault=fault,
        )
        status = await self.range.run(task)
        if status is None:
            self.problems.append(f"{role}: did not end within {PROCESS_S:g} s")
        return status

    # -- what must hold -----------------------------------------------------------------------

    def _check(self, when: str, *, died: bool = False) -> None:
        def expect(holds: bool, what: str) -> None:
            if not holds:
                self.problems.append(f"{when}: {what}")

        world = self.world
        ours = world.ours()
        running = [f"{job.name} is {job.status}" for job in ours if job.runs]
        expect(not running, f"ours run on: {running}")
        others = world.stopped_others()
        expect(not others, f"other people's were stopped: {others}")
        twice = {name: count for name, count in world.attempts().items() if count > 1}
        expect(not twice, f"more than one job of an attempt: {twice}")
        billed = sum((job.amount for job in ours), Decimal(0))
        self.told["billed"] = str(billed)
        with self._ledger() as ledger:
            run = self._ledger_run(ledger)
            quote = ledger.last_quote(run.run_id) if ledger and run else None
            if ledger is None or run is None or quote is None or quote.bound is None:
                expect(not billed, f"{billed} are billed, and nothing was quoted")
                return
            beyond = quote.unwatched if died else quote.overshoot
            assert beyond is not None
            most = quote.bound + beyond
            expect(billed <= most, f"{billed} are billed, and at most {most} were quoted")
            metered = ledger.reservation(run.run_id).metered if ours else Decimal(0)
            expect(
                metered + _SMALLEST * 2 >= billed, f"{billed} are billed, and {metered} are metered"
            )
            self.told["run"] = f"{run.state}, outcome {run.outcome}"

    def _check_results(self) -> None:
        succeeded = [job.job_id for job in self.world.ours() if job.status == "Succeeded"]
        run_part, manifest = self._run_part(), self._manifest()
        completed = self._is_over("flow") or self._is_over("resume")
        if (succeeded or completed) and not (run_part and manifest):
            what = f"job {succeeded[0]} has succeeded" if succeeded else "the run has completed"
            self.problems.append(f"{what}, and its row is {run_part}, its manifest {manifest}")
        # Cells of an earlier night, and the run's own row where there is one.
        for run_id, cells in ((EARLIER_RUN, 2), (self._run_id() if run_part else None, 0)):
            if run_id is None:
                continue
            store = partial(open_store, str(self.world.folder / "results"))
            done = verify(store, READERS_OF_ENGINES, run=run_id, jobs=1)
            wrong = [str(found.document()) for found in done.findings if found.level == "wrong"]
            if wrong or done.cells != cells or done.runs != 1:
                self.problems.append(
                    f"results of {run_id}: {done.runs} of 1 run and {done.cells} of {cells} cells "
                    f"are as they were; {wrong}"
                )

    def _run_part(self) -> str | None:
        run_id = self._run_id()
        parts = (self.world.folder / "results" / "runs").rglob(f"{run_id}*")
        return next((part.name for part in parts), None) if run_id else None

    def _manifest(self) -> str | None:
        run_id = self._run_id()
        if run_id is None:
            return None
        path = manifest_path(run_id)
        return path if (self.world.folder / "results" / path).exists() else None

    def _run_id(self) -> str | None:
        with self._ledger() as ledger:
            run = self._ledger_run(ledger)
            return run.run_id if run else None

    def _ledger_run(self, ledger: Ledger | None) -> LedgerRun | None:
        path = self.world.folder / "flow_run_id"
        if ledger is None or not path.exists():
            return None
        with contextlib.suppress(LedgerError):
            return ledger.run(path.read_text("utf-8"))
        return None

    @contextlib.contextmanager
    def _ledger(self) -> Any:
        environ = {"TIDEMARK_HOME": str(self.world.folder / "home")}
        config = load_config(environ, self.world.folder)
        ledger = open_ledger(config, self.world.clock, create=False)
        try:
            yield ledger
        finally:
            ledger.close()


async def _ended(process: ForkServerProcess, limit_s: float) -> int | None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(process.sentinel, over.set)
    try:
        await asyncio.wait_for(over.wait(), limit_s)
    except TimeoutError:
        process.kill()
    finally:
        loop.remove_reader(process.sentinel)
    ended = over.is_set()
    await asyncio.to_thread(process.join)
    status = process.exitcode
    process.close()
    return status if ended else None


def _template(folder: Path) -> Path:
    """A home with a new ledger, and a store with the results of an earlier night."""
    template = folder / "template"
    if template.exists():
        return template
    sys.path.append(str(Path(__file__).parent.parent / "results_store"))
    from stored_sweep import put_sweep

    making = template.with_suffix(".part")
    shutil.rmtree(making, ignore_errors=True)
    environ = {
        "TIDEMARK_HOME": str(making / "home"),
        "TIDEMARK_INSTALLATION": INSTALLATION,
    }
    (making / "home").mkdir(parents=True)
    first = Path(certifi.where()).read_text("utf-8").partition("-----BEGIN")[2]
    text = "-----BEGIN" + first.partition("-----END CERTIFICATE-----")[0]
    (folder / "authority.pem").write_text(f"{text}-----END CERTIFICATE-----\n", "utf-8")
    from tidemark.money.installation import FILE

    (making / "home" / FILE).write_text(INSTALLATION + "\n", "utf-8")
    open_ledger(load_config(environ, making), SystemClock(), create=True).close()
    put_sweep(open_store(str(making / "results")))
    return making.rename(template)


@contextlib.asynccontextmanager
async def drilled(folder: Path, *, at_once: int = 2) -> AsyncIterator[Range]:
    """A range below `folder`, where `at_once` cases can be played at once."""
    template = _template(folder)
    environ = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLIENT_RETRY_JITTER_FACTOR": "0",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        # Nobody looks at what these keep of each run.
        **{f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in UNUSED_SERVICES},
        "DO_NOT_TRACK": "1",
    }
    environ.pop("PREFECT_API_URL", None)
    # Nothing here is encrypted, and each client reads all authorities of a file anew.
    authority = folder / "authority.pem"
    environ |= {"SSL_CERT_FILE": str(authority), "PREFECT_API_SSL_CERT_FILE": str(authority)}
    server = TemporaryServer.start(environ)
    roads: asyncio.Queue[tuple[Road, str]] = asyncio.Queue()
    serving = []
    try:
        await asyncio.to_thread(server.wait)
        here = str(Path(__file__).parent)
        before = dict(os.environ)
        os.environ |= {
            **{
                name: value
                for name, value in environ.items()
                if name.startswith(("PREFECT", "SSL"))
            },
            "PREFECT_API_URL": server.url,
            "PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        processes = get_context("forkserver")
        processes.set_forkserver_preload(["dlc_preloaded"])
        # It starts with the first process, and has the environment of that moment.
        forkserver.ensure_running()
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before
        for _ in range(at_once):
            road = Road()
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            config = uvicorn.Config(
                road,
                log_config=None,
                access_log=False,
                date_header=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
            serving.append(_Server(config))
            task = asyncio.create_task(serving[-1].serve(sockets=[listener]))
            serving[-1].task = task
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            roads.put_nowait((road, url))
        yield Range(folder, template, server.url, processes, roads)
    finally:
        for each in serving:
            each.should_exit = True
        await asyncio.gather(*(each.task for each in serving if each.task))
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        server.stop()


class _Server(uvicorn.Server):
    """A server in this process, which leaves the signals to who runs the drill."""

    task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Capture none."""
        yield
