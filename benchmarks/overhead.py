"""What a sweep costs beside the bare engine: wall time, memory, and Prefect's part of it.

    python benchmarks/overhead.py [--rounds 3] [--json FILE]

Six cells (1 to 32 users, 100 requests each), the same endpoint, in turns: `tidemark sweep` as a
user types it, without a Prefect server set up, and genai-bench's own command. Both as whole
processes, from start to exit, without a warm-up pass. The first sweep also measures the client
floors, which are kept; it is shown apart. `an empty flow` is a flow of as many steps that do
nothing, under the same temporary server: Prefect's part, most of which runs beside the engine's
start. Takes about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import contextlib

from benchmarks.bare_engine import BareEngine
from tidemark.config import load_config
from tidemark.engines.calibration import simulated_endpoint

LEVELS = (1, 2, 4, 8, 16, 32)
REQUESTS = 100
SCENARIO = "D(64,24)"
ENDPOINT = ("--ttft-s", "0.05", "--tpot-s", "0.005", "--max-seconds", "3000")
SAMPLE_S = 0.1
EMPTY_FLOW = f"""
import asyncio
from prefect import flow, task

@task
async def step(number: int) -> int:
    return number

@flow
async def empty() -> None:
    for number in range({len(LEVELS) + 5}):
        await step(number)

asyncio.run(empty())
"""


@dataclass(frozen=True)
class Took:
    """One command: wall time in seconds, and peak resident memory in bytes, of the process that
    was started and of the largest of those it started itself."""

    what: str
    wall_s: float
    own_peak_bytes: int
    child_peak_bytes: int
    exit_status: int


def take(what: str, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> Took:
    """Run a command to its end and watch its memory."""
    began = time.monotonic()
    with log.open("wb") as output:
        process = psutil.Popen(
            argv,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        own = child = 0
        while process.poll() is None:
            own = max(own, _peak(process))
            with contextlib.suppress(psutil.Error):
                child = max([child, *map(_peak, process.children(recursive=True))])
            time.sleep(SAMPLE_S)
    return Took(what, time.monotonic() - began, own, child, process.returncode)


def _peak(process: psutil.Process) -> int:
    """The most memory a process ever had, as the system keeps it; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def main() -> int:
    """Measure in turns and print; exit status 1 if a command failed or the ratio is above 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every measurement to this file")
    given = parser.parse_args()
    console = Console(highlight=False, width=110)
    engines = load_config(os.environ, Path.cwd()).engines.resolve()
    bare = BareEngine.find(engines)
    all_took: list[Took] = []
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        home = Path(folder)
        (home / "engines").symlink_to(engines)
        tokenizer = home / "tokenizer"
        subprocess.run(
            [sys.executable, "-m", "tidemark.simulator.tokenizer", str(tokenizer)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        ours = {
            **os.environ,
            "TIDEMARK_HOME": str(home),
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        ours.pop("PREFECT_API_URL", None)
        with simulated_endpoint(*ENDPOINT) as endpoint:
            url = str(endpoint["url"])
            plan = home / "plan.json"
            plan.write_text(
                json.dumps(
                    {
                        "endpoint": {"url": url, "model": "simulated"},
                        "scenarios": [SCENARIO],
                        "concurrency": list(LEVELS),
                        "limits": {"max_requests": REQUESTS, "max_time_s": 60},
                        "warmup": None,
                        "tokenizer": str(tokenizer),
                    }
                ),
                "utf-8",
            )

            def sweep(number: int, what: str) -> None:
                store = home / f"results-{number}"
                command = ["-m", "tidemark.cli", "sweep", str(plan), "--store", str(store)]
                all_took.append(take(what, [sys.executable, *command], ours, home / f"s{number}"))

            def engine(number: int) -> None:
                directory = home / f"bare-{number}"
                directory.mkdir()
                argv = bare.argv(
                    url=url,
                    tokenizer=tokenizer,
                    scenarios=[SCENARIO],
                    levels=LEVELS,
                    max_requests=REQUESTS,
                    directory=directory,
                )
                log = directory / "output.txt"
                all_took.append(take("genai-bench", argv, bare.environment(), log))

            def empty(number: int) -> None:
                argv = [sys.executable, "-c", EMPTY_FLOW]
                all_took.append(take("an empty flow", argv, ours, home / f"e{number}"))

            sweep(0, "tidemark sweep, floors measured")
            for number in range(1, given.rounds + 1):
                turns = [lambda n=number: sweep(n, "tidemark sweep"), lambda n=number: engine(n)]
                for turn in turns if number % 2 else reversed(turns):
                    turn()
                empty(number)
                print(f"round {number} of {given.rounds} done", file=sys.stderr, flush=True)
    return report(all_took, console, given.json)


def report(all_took: Sequence[Took], console: Console, file: Path | None) -> int:
    """Print medians and the paired ratio."""
    by_name: dict[str, list[Took]] = {}
    for took in all_took:
        by_name.setdefault(took.what, []).append(took)
    table = Table()
    for heading in ("", "runs", "wall s (median)", "own peak MiB", "largest child MiB", "exit"):
        table.add_column(heading, justify="right")
    for name, group in by_name.items():
        table.add_row(
            name,
            str(len(group)),
            f"{statistics.median(took.wall_s for took in group):.1f}",
            f"{max(took.own_peak_bytes for took in group) / 2**20:.0f}",
            f"{max(took.child_peak_bytes for took in group) / 2**20:.0f}",
            ",".join(sorted({str(took.exit_status) for took in group})),
        )
    console.print(table)
    pairs = list(zip(by_name["tidemark sweep"], by_name["genai-bench"], strict=True))
    ratios = [ours.wall_s / bare.wall_s for ours, bare in pairs]
    ratio = statistics.median(ratios)
    console.print(
        f"wall time, tidemark sweep / genai-bench: median {ratio:.2f} "
        f"({', '.join(f'{one:.2f}' for one in ratios)})"
    )
    share = statistics.median(took.wall_s for took in by_name["an empty flow"])
    whole = statistics.median(took.wall_s for took in by_name["tidemark sweep"])
    console.print(f"an empty flow / tidemark sweep: {share / whole:.2f}")
    if file is not None:
        file.write_text(json.dumps([asdict(took) for took in all_took], indent=1), "utf-8")
    # 3 and 4: a hundred requests are few at 32 users, for the verdict on that cell.
    failed = any(took.exit_status not in (0, 3, 4) for took in all_took)
    return 1 if failed or ratio > 1.0 else 0


if __name__ == "__main__":
    raise SystemExit(main())
