"""The PAI client beside the official SDK, and what watching many jobs costs.

    python benchmarks/pai_client.py [--calls 400] [--rounds 5] [--jobs 1 10 100 1000]

First: both clients ask one simulator, in turns, each in a fresh process: calls per second one
after another and 16 at once, processor time per call, the most memory held, and how long the
import and the first answer take. The figures are medians of the rounds, the ratios medians of
the ratios within each round. Then: an hour of virtual time in which 1 to 1,000 jobs are watched
within a limit of calls per second: calls per job, memory per job, and the busiest second.

Needs the official SDKs (`make bench-pai`). Exit status 1 if ours is not ahead on each figure, if
calls or memory per job do not fall as jobs grow, or if the limit was not held.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

AT_ONCE = 16
LIMIT_PER_S = 10.0
KEY = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIsimulator"}
SECRET = {"ALIBABA_CLOUD_ACCESS_KEY_SECRET": "simulator-secret"}
# What is measured, and whether more is better.
FIGURES = {
    "calls_per_s": True,
    "calls_per_s_at_once": True,
    "cpu_ms_per_call": False,
    "peak_mib": False,
    "import_s": False,
    "first_answer_s": False,
}


def ours(port: int, job_id: str, calls: int) -> dict[str, float]:
    """Our client's figures."""
    begun = time.perf_counter()
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.channel import ChannelSettings
    from tidemark.alibaba.credentials import StaticCredentials
    from tidemark.alibaba.dlc import Dlc

    import_s = time.perf_counter() - begun

    async def work() -> dict[str, float]:
        account = Account(
            StaticCredentials.of("LTAIsimulator", "simulator-secret"),
            "cn-hangzhou",
            endpoints=f"http://127.0.0.1:{port}",
            settings=ChannelSettings(calls_per_s=100_000, burst=1000),
        )
        async with account:
            dlc = Dlc(account)
            await dlc.get_job(job_id)
            first_answer_s = time.perf_counter() - begun
            figures = await measured(lambda: dlc.get_job(job_id), calls)
            return {**figures, "first_answer_s": first_answer_s}

    return {**asyncio.run(work()), "import_s": import_s}


def official(port: int, job_id: str, calls: int) -> dict[str, float]:
    """The official SDK's figures: one after another by its ordinary methods, at once by its
    asynchronous ones."""
    begun = time.perf_counter()
    from alibabacloud_pai_dlc20201203.client import Client
    from alibabacloud_pai_dlc20201203.models import GetJobRequest
    from alibabacloud_tea_openapi.models import Config

    import_s = time.perf_counter() - begun
    client = Client(
        Config(
            access_key_id="LTAIsimulator",
            access_key_secret="simulator-secret",
            endpoint=f"127.0.0.1:{port}",
            protocol="HTTP",
        )
    )
    client.get_job(job_id, GetJobRequest())
    first_answer_s = time.perf_counter() - begun
    for _ in range(4):
        client.get_job(job_id, GetJobRequest())
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        assert client.get_job(job_id, GetJobRequest()).body.job_id == job_id
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu

    async def at_once() -> float:
        return await all_at_once(lambda: client.get_job_async(job_id, GetJobRequest()), calls)

    return {
        "calls_per_s": calls / wall,
        "cpu_ms_per_call": cpu / calls * 1000,
        "calls_per_s_at_once": asyncio.run(at_once()),
        "peak_mib": peak_mib(),
        "import_s": import_s,
        "first_answer_s": first_answer_s,
    }


async def measured(call: Any, calls: int) -> dict[str, float]:
    """Calls one after another, then at once."""
    for _ in range(5):
        await call()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        await call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "calls_per_s": calls / wall,
        "cpu_ms_per_call": cpu / calls * 1000,
        "calls_per_s_at_once": await all_at_once(call, calls),
        "peak_mib": peak_mib(),
    }


async def all_at_once(call: Any, calls: int) -> float:
    """Calls per second with 16 under way at any time."""
    left = iter(range(calls))

    async def one() -> None:
        for _ in left:
            await call()

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return calls / (time.perf_counter() - begun)


def peak_mib() -> float:
    """The most memory this process has held since it was started."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def child(name: str, port: int, job_id: str, calls: int) -> dict[str, float]:
    """One client in a process of its own."""
    argv = [sys.executable, __file__, "--client", name, "--port", str(port)]
    argv += ["--job", job_id, "--calls", str(calls)]
    done = subprocess.run(argv, env=os.environ | KEY | SECRET, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(calls: int, rounds: int) -> bool:
    """Both clients in turns; whether ours is ahead on each figure."""
    from rich.progress import track

    from tidemark.alibaba import sync
    from tidemark.alibaba.credentials import StaticCredentials
    from tidemark.alibaba.pai import create_pytorch_job
    from tidemark.simulator.authorization import SimulatorAuthorization
    from tidemark.simulator.pai.process import pai_process

    found: dict[str, list[dict[str, float]]] = {"ours": [], "official": []}
    with pai_process("--port", "0", "--max-seconds", "1800") as server:
        sync.use(
            source=StaticCredentials.of("LTAIsimulator", "simulator-secret"),
            region="cn-hangzhou",
            endpoints=server.url,
        )
        job_id = create_pytorch_job(
            "bench-client", "true", ecs_spec="ecs.c6.large", authorization=SimulatorAuthorization()
        )["JobId"]
        sync.close()
        for number in track(range(rounds), "clients in turns"):
            for name in ("ours", "official") if number % 2 else ("official", "ours"):
                found[name].append(child(name, server.port, job_id, calls))
    print(f"\n{calls} calls of GetJob over HTTP on loopback, medians of {rounds} rounds")
    print(f"{'':22}{'ours':>12}{'official SDK':>14}{'ratio':>8}")
    ahead = True
    for figure, more_is_better in FIGURES.items():
        mine = [each[figure] for each in found["ours"]]
        theirs = [each[figure] for each in found["official"]]
        ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
        ahead = ahead and (ratio > 1 if more_is_better else ratio < 1)
        shown = f"{statistics.median(mine):12.3g}{statistics.median(theirs):14.3g}{ratio:8.2f}"
        print(f"{figure:22}{shown}")
    return ahead


async def watch(jobs: int, interval_s: float) -> dict[str, float]:
    """An hour of virtual time with so many jobs watched."""
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.channel import ChannelSettings
    from tidemark.alibaba.credentials import StaticCredentials
    from tidemark.alibaba.dlc import Dlc
    from tidemark.alibaba.dlc_requests import CreateJob, EcsInstance, JobSpec
    from tidemark.alibaba.watching import JobWatcher
    from tidemark.simulator.authorization import SimulatorAuthorization
    from tidemark.simulator.clock import VirtualClock
    from tidemark.simulator.pai.app import PaiSimulator
    from tidemark.simulator.pai.scenario import scenario_from_text

    clock = VirtualClock(jump=True)
    rules = scenario_from_text("jobs: [{then: {running_s: never}}]", "benchmark")
    simulator = PaiSimulator(clock=clock, scenario=rules)
    times: list[float] = []
    transport = simulator.transport()
    carry = transport.handle_async_request

    async def noted(request: Any) -> Any:
        times.append(clock.monotonic())
        return await carry(request)

    transport.handle_async_request = noted  # type: ignore[method-assign]
    account = Account(
        StaticCredentials.of("LTAIsimulator", "simulator-secret"),
        "cn-hangzhou",
        endpoints="http://pai.simulator",
        transport=transport,
        clock=clock,
        settings=ChannelSettings(calls_per_s=LIMIT_PER_S, burst=1),
    )
    dlc = Dlc(account)
    spec = JobSpec(image="i", resources=EcsInstance(ecs_spec="ecs.c6.large"))
    ids = [
        await dlc.create_job(
            CreateJob(
                display_name=f"watched-{number}",
                user_command="true",
                workspace_id="268",
                job_specs=[spec],
            ),
            authorization=SimulatorAuthorization(),
        )
        for number in range(jobs)
    ]
    times.clear()
    tracemalloc.start()
    begun_s, cpu_s = clock.monotonic(), time.process_time()

    async def follow(watcher: JobWatcher, job_id: str) -> None:
        async for _ in watcher.changes(job_id):
            pass

    async with JobWatcher(dlc, clock=clock, interval_s=interval_s) as watcher:
        tasks = [asyncio.create_task(follow(watcher, job_id)) for job_id in ids]
        await clock.sleep(3600)
        here = tracemalloc.Filter(True, "*/tidemark/alibaba/*", all_frames=False)
        kept = tracemalloc.take_snapshot().filter_traces([here]).statistics("filename")
        for task in tasks:
            task.cancel()
    tracemalloc.stop()
    busiest = max(
        sum(t <= other < t + 1 for other in times[i : i + 200]) for i, t in enumerate(times)
    )
    assert clock.monotonic() - begun_s >= 3600
    return {
        "calls": len(times),
        "calls_per_job": len(times) / jobs,
        "kib_per_job": sum(each.size for each in kept) / 1024 / jobs,
        "busiest_second": busiest,
        "cpu_s": time.process_time() - cpu_s,
    }


def watching(sizes: list[int], interval_s: float) -> bool:
    """Watching few to many; whether the cost for each falls and the limit is held."""
    from rich.progress import track

    print(
        f"\nan hour of virtual time, a look every {interval_s:g} s, at most {LIMIT_PER_S:g} calls/s"
    )
    rows = [
        asyncio.run(watch(jobs, interval_s)) for jobs in track(sizes, "watching", transient=True)
    ]
    print(f"{'jobs':>6}{'calls':>8}{'calls/job':>11}{'KiB/job':>9}{'busiest second':>16}")
    for jobs, row in zip(sizes, rows, strict=True):
        print(
            f"{jobs:6}{row['calls']:8.0f}{row['calls_per_job']:11.2f}{row['kib_per_job']:9.2f}"
            f"{row['busiest_second']:16.0f}"
        )
    falls = all(
        later[name] < earlier[name]
        for earlier, later in itertools.pairwise(rows)
        for name in ("calls_per_job", "kib_per_job")
    )
    # A span of a second takes in one call more than passes in it.
    return falls and all(row["busiest_second"] <= LIMIT_PER_S + 1 for row in rows)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--interval-s", type=float, default=60.0)
    parser.add_argument("--client", choices=("ours", "official"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        client = ours if given.client == "ours" else official
        print(json.dumps(client(given.port, given.job, given.calls)))
        return 0
    ahead = compare(given.calls, given.rounds)
    cheap = watching(given.jobs, given.interval_s)
    print(f"\nahead on each figure: {ahead}; the cost for each job falls, limit held: {cheap}")
    return 0 if ahead and cheap else 1


if __name__ == "__main__":
    sys.exit(main())
