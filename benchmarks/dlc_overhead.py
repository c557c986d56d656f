"""What a job's run adds to the job: from approval to CreateJob, from its end to its row.

    python benchmarks/dlc_overhead.py [--runs 1 10 100 500] [--through flow steps] [--poll 10]

So many runs at once, in one process, against a simulated account in another, whose jobs take
`--job` seconds. `flow` is the whole flow with a Prefect server, `steps` the same steps without
Prefect and without a store. Printed for each number of runs: seconds from the recorded approval to
CreateJob and from the job's end to its row in the store (median and longest), calls to the cloud
per run and per run and minute, processor time per run, and the most memory held. What a poll
interval adds to the second is in it: on average half of one.

Each number of runs has a fresh process, ledger and store. `make bench-dlc` runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

KEY = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIsimulator",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "simulator-secret",
}
SCENARIO = (
    "jobs: [{{then: {{creating_s: 0.5, queuing_s: 0.5, node_s: 0.5, image_pull: {{pull_s: 0.5}}, "
    "running_s: {job_s}}}}}]"
)
LONGEST_S = 1800
OVER: dict[str, float] = {}
"""When runs without a store were over, by their id: seconds since 1970-01-01 UTC."""
POLICY = {"currency": "CNY", "per_run": 50, "per_night": 1_000_000}


class Counting(httpx.AsyncBaseTransport):
    """Carries calls, and counts them."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None))
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one call."""
        self.calls += 1
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Kept open: one run's account is not the last."""


@contextmanager
def simulated(job_s: float) -> Iterator[str]:
    """A simulated account on a port of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = Path(folder) / "scenario.yaml"
        scenario.write_text(SCENARIO.format(job_s=job_s), "utf-8")
        process = subprocess.Popen(
            [
                sys.executable, "-m", "tidemark.simulator.pai.server", "--speed", "1",
                "--scenario", str(scenario), "--max-seconds", str(LONGEST_S),
                "--parent-pid", str(os.getpid()),
            ],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            process.wait()


def one_size(runs: int, through: str, poll_s: float, job_s: float) -> dict[str, Any]:
    """The figures of `runs` at once."""
    with tempfile.TemporaryDirectory() as folder, simulated(job_s) as url:
        home = Path(folder)
        os.environ |= {**KEY, "TIDEMARK_HOME": str(home), "TIDEMARK_PAI_ENDPOINT": url}
        os.environ |= {"TIDEMARK_STORE": str(home / "results"), "PREFECT_HOME": str(home / "p")}
        server = None
        if through == "flow":
            from tidemark.cli.prefect_server import start_prefect

            server = start_prefect()
            if server is not None:
                server.wait()
        transport = Counting()
        begun, used = time.monotonic(), _processor_s()
        asyncio.run(_all(runs, through, poll_s, job_s, transport))
        took_s, used_s = time.monotonic() - begun, _processor_s() - used
        figures = _figures(url, home, runs)
        if server is not None:
            server.stop()
    waiting_min = (job_s + 2.0) / 60
    return {
        "runs": runs,
        "through": through,
        **figures,
        "wall_s": round(took_s, 1),
        "calls_per_run": round(transport.calls / runs, 1),
        "calls_per_run_min": round(transport.calls / runs / max(waiting_min, took_s / 60), 1),
        "processor_s_per_run": round(used_s / runs, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


async def _all(
    runs: int, through: str, poll_s: float, job_s: float, transport: httpx.AsyncBaseTransport
) -> None:
    from blocks import PaiWorkspace, SpendingPolicy
    from tasks.job_room import TRANSPORT
    from tidemark.plan.job import JobPlan

    TRANSPORT.set(transport)
    plan = JobPlan.model_validate(
        {
            "command": "echo tide",
            "machine": {"spec": "ecs.c6.large"},
            "image": "registry.example.com/bench:1",
            "expected_s": max(1.0, job_s),
            "limits": {"poll_interval_s": poll_s},
        }
    )
    workspace, policy = PaiWorkspace(workspace_id="268"), SpendingPolicy.model_validate(POLICY)
    if through == "flow":
        await _flows(runs, plan, workspace, policy)
    else:
        await asyncio.gather(*(_steps(plan, workspace, policy) for _ in range(runs)))


async def _flows(runs: int, plan: Any, workspace: Any, policy: Any) -> None:
    """The flow runs are created one after the other, as a schedule does: Prefect's own database
    refuses a hundred that are created in the same second."""
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow_async
    from prefect.states import Pending

    from flows.dlc_benchmark import dlc_benchmark

    given = {
        "plan": plan, "workspace": workspace, "policy": policy, "store": "", "result_store": None,
        "dry_run": False,
    }  # fmt: skip
    async with get_client() as client:
        created = [
            await client.create_flow_run(dlc_benchmark, state=Pending()) for _ in range(runs)
        ]
    await asyncio.gather(
        *(run_flow_async(dlc_benchmark, flow_run=one, parameters=given) for one in created)
    )


async def _steps(plan: Any, workspace: Any, policy: Any) -> None:
    """The same steps without Prefect and without a store: over when the ledger says so."""
    from tasks.job_room import TRANSPORT
    from tidemark.alibaba.job_steps import JobDesk, Where, new_run, owner_name
    from tidemark.clock import SystemClock
    from tidemark.config import load_config
    from tidemark.money.approval import approve
    from tidemark.money.opening import open_ledger

    config, clock, rules = load_config(os.environ, Path.cwd()), SystemClock(), policy.rules()
    ledger = await asyncio.to_thread(open_ledger, config, clock, create=True)
    begun = new_run(
        plan, now=datetime.now(UTC), rules=rules, region=config.region, workspace_block=None,
        trigger="manual",
    )  # fmt: skip
    run = await asyncio.to_thread(ledger.begin_run, begun)
    async with workspace.account(config, clock=clock, transport=TRANSPORT.get()) as account:
        desk = JobDesk(ledger, account, clock, owner_name())
        offer = await desk.quote(plan, run)
        quote = offer.quote
        answer = await desk.note_answer(
            quote, "approve", by="benchmark", channel="policy benchmark"
        )
        leave = approve(quote, answer, plan_hash=run.plan_hash, now=lambda: datetime.now(UTC))
        await desk.reserve(plan, run, quote, leave, rules)
        started = await desk.start(plan, run, offer, leave, Where("268"))
        await desk.watch(started, plan, quote)
        await desk.finish(run.run_id, why="the job has ended")
    OVER[run.run_id] = time.time()
    ledger.close()


def _figures(url: str, home: Path, runs: int) -> dict[str, Any]:
    from tidemark.clock import SystemClock
    from tidemark.config import load_config
    from tidemark.money.opening import open_ledger

    state = httpx.get(f"{url}/_simulator/state", timeout=120).json()
    jobs = {job["name"]: job for job in state["jobs"].values()}
    config = load_config(os.environ, home)
    ledger = open_ledger(config, SystemClock(), create=False)
    to_create, to_store = [], []
    for lease in ledger.leases():
        job = jobs[lease.lease_id]
        approval = ledger.approval(f"{lease.run_id}-q1")
        assert approval is not None
        to_create.append(job["segments"][0]["start_s"] - approval.decided_at.timestamp())
        over_s = OVER.get(lease.run_id)
        if over_s is None:
            over_s = (home / "results/manifests" / f"{lease.run_id}.json").stat().st_mtime
        to_store.append(over_s - job["segments"][-1]["start_s"])
    ledger.close()
    assert len(to_create) == runs, f"{len(to_create)} of {runs} runs were made"
    shown = {"to_create_s": to_create, "to_store_s": to_store}
    return {
        name: {"median": round(statistics.median(found), 2), "longest": round(max(found), 2)}
        for name, found in shown.items()
    }


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Run each size in a process of its own, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 10, 100, 500])
    parser.add_argument(
        "--through", nargs="+", choices=("flow", "steps"), default=["flow", "steps"]
    )
    parser.add_argument("--poll", type=float, default=10.0, help="seconds between polls")
    parser.add_argument("--job", type=float, default=30.0, help="seconds a job runs")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one_size(given.runs[0], given.through[0], given.poll, given.job)))
        return 0
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, poll {given.poll:g} s, jobs of {given.job:g} s", flush=True
    )
    for through in given.through:
        for runs in given.runs:
            done = subprocess.run(
                [
                    sys.executable, __file__, "--one", "--runs", str(runs), "--through", through,
                    "--poll", str(given.poll), "--job", str(given.job),
                ],
                stdout=subprocess.PIPE, text=True, check=False, timeout=LONGEST_S,
            )  # fmt: skip
            if done.returncode:
                print(f"{through} {runs}: failed", flush=True)
                return 1
            print(done.stdout.strip().splitlines()[-1], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
