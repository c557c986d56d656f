"""What runs in processes of its own: a flow with a fault in it, a hook, the reaper, the flow again.

They are forked from a server process that has everything imported. Nothing is imported here that
would start threads before the fork.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from dlc_clock import CountingExecutor, DrillClock
from dlc_points import Fault, Injector, Point
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import get_settings_context
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import AwaitingRetry, Cancelled, Crashed, Pending

from blocks import PaiWorkspace, SpendingPolicy
from flows.dlc_benchmark import dlc_benchmark
from flows.reaper import reaper
from tasks.job_release import release_after
from tasks.job_room import CLOCK, TRANSPORT
from tidemark.plan.job import JobPlan

__all__ = ["Task", "play"]


@dataclass(frozen=True)
class Task:
    """What a process does, and where. `url` is the cloud's; `out` where it writes what came of it.

    role: `flow`, `hook crashed`, `hook cancelled`, `reap`, or `resume`.
    """

    role: str
    folder: Path
    url: str
    prefect_url: str
    plan: dict[str, Any]
    point: Point | None = None
    fault: Fault | None = None

    @property
    def out(self) -> Path:
        """Where it writes what came of it, as JSON."""
        return self.folder / f"{self.role.replace(' ', '-')}.json"


def play(task: Task) -> None:
    """Do it, in this process. What is printed goes to the case's log."""
    log = os.open(task.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(log, number)
    print(f"--- {task.role} {task.point} {task.fault}", flush=True)
    os.environ |= {
        "TIDEMARK_HOME": str(task.folder / "home"),
        "TIDEMARK_PAI_ENDPOINT": task.url,
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIsimulator",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "simulator-secret",
        # As a worker sets it: cancellations are its to end, in another process.
        "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
    }
    os.chdir(task.folder)
    threading.Thread(target=_end_with_drill, daemon=True).start()
    roles: dict[str, Callable[[Task, Injector], Awaitable[dict[str, Any]]]] = {
        "flow": _flow,
        "hook crashed": _hook,
        "hook cancelled": _hook,
        "reap": _reap,
        "resume": _resume,
    }
    clock = DrillClock(task.folder / "clock")
    injector = Injector(clock, task.point, task.fault, task.folder / "reached.json")
    port = httpx.URL(task.prefect_url).port
    assert port is not None
    injector.install(port)
    CLOCK.set(clock)
    TRANSPORT.set(injector.transport())
    status = 0
    try:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            done = asyncio.run(_with_clock(clock, roles[task.role], task, injector))
        points = [str(point) for point in injector.points]
        part = task.out.with_suffix(".part")
        part.write_text(json.dumps({**done, "points": points}), "utf-8")
        part.rename(task.out)
    except BaseException:
        traceback.print_exc()
        status = 1
    print(f"--- {task.role} took {time.process_time():.2f} s of the processor", flush=True)
    sys.stderr.flush()
    os._exit(status)


def _end_with_drill() -> None:
    drill = parent_process()
    if drill is not None:
        drill.join()
        os._exit(1)


async def _with_clock(
    clock: DrillClock,
    role: Callable[[Task, Injector], Awaitable[dict[str, Any]]],
    task: Task,
    injector: Injector,
) -> dict[str, Any]:
    assert str(get_settings_context().settings.api.url) == task.prefect_url
    asyncio.get_running_loop().set_default_executor(CountingExecutor(clock))
    return await role(task, injector)


def _parameters(task: Task) -> dict[str, Any]:
    return {
        "plan": JobPlan.model_validate(task.plan),
        "workspace": PaiWorkspace(workspace_id="268"),
        "policy": SpendingPolicy.model_validate({"currency": "CNY", "per_run": 1000}),
        "store": str(task.folder / "results"),
        "result_store": None,
        "dry_run": False,
    }


async def _flow(task: Task, injector: Injector) -> dict[str, Any]:
    async with get_client() as client:
        flow_run = await client.create_flow_run(dlc_benchmark, state=Pending())
    (task.folder / "flow_run_id").write_text(str(flow_run.id), "utf-8")
    injector.active = True
    try:
        state = await run_flow_async(
            dlc_benchmark, flow_run=flow_run, parameters=_parameters(task), return_type="state"
        )
    finally:
        injector.active = False
    return {"state": state.name, "message": state.message}


async def _this_run(task: Task) -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(UUID((task.folder / "flow_run_id").read_text("utf-8")))


async def _hook(task: Task, _injector: Injector) -> dict[str, Any]:
    state = Crashed() if task.role.endswith("crashed") else Cancelled()
    flow_run = await _this_run(task)
    async with get_client() as client:
        await client.set_flow_run_state(flow_run.id, state, force=True)
    await release_after(dlc_benchmark, flow_run, state)
    return {"state": state.name}


async def _reap(_task: Task, _injector: Injector) -> dict[str, Any]:
    done = await reaper()
    return {"stopped": done.stopped, "left": done.left, "exit_status": done.exit_status}


async def _resume(task: Task, _injector: Injector) -> dict[str, Any]:
    flow_run = await _this_run(task)
    async with get_client() as client:
        await client.set_flow_run_state(flow_run.id, AwaitingRetry(), force=True)
        flow_run = await client.read_flow_run(flow_run.id)
    state = await run_flow_async(
        dlc_benchmark, flow_run=flow_run, parameters=_parameters(task), return_type="state"
    )
    return {"state": state.name, "message": state.message}
