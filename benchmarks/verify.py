"""How long `tidemark verify` takes on a large store, and how much memory.

    python benchmarks/verify.py [--cells 1000] [--requests 1000] [--jobs N] [--keep FOLDER]

Builds a store of synthetic cells in the launcher's own format (`benchmarks/synthetic_store.py`),
then verifies it as a user types it. Exit status 1 if not every row is as rebuilt, or if it took
more than a minute per million requests. Building takes some minutes, verifying one at most.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.synthetic_store import Shape, build

SAMPLE_S = 0.1
SECONDS_PER_MILLION = 60.0


@dataclass(frozen=True)
class Took:
    """One verification: wall and processor time in seconds, and the most memory its processes
    held at one moment, summed, in bytes."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    exit_status: int
    document: dict[str, object]


def verify(store: Path, jobs: int | None) -> Took:
    """Run the command to its end and watch it and what it starts."""
    argv = [sys.executable, "-m", "tidemark.cli", "verify", str(store), "--json"]
    argv += ["--jobs", str(jobs)] if jobs else []
    began, peak = time.monotonic(), 0
    before = os.times()
    with tempfile.TemporaryFile() as output:
        process = psutil.Popen(argv, stdin=subprocess.DEVNULL, stdout=output)
        while process.poll() is None:
            peak = max(peak, _resident(process))
            time.sleep(SAMPLE_S)
        took_s = time.monotonic() - began
        after = os.times()
        output.seek(0)
        document = json.load(output)
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return Took(took_s, cpu_s, peak, process.returncode, document)


def _resident(process: psutil.Popen) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.Error:
        pass  # one has just ended
    return total


def _say(done: int) -> None:
    print(f"{done} cells are built", file=sys.stderr, flush=True)


def main() -> int:
    """Build, verify, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=1000, help="per cell")
    parser.add_argument("--jobs", type=int, help="processes; default: as the command chooses")
    parser.add_argument("--keep", type=Path, help="build the store here, or use the one there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        store = given.keep or Path(folder) / "results"
        if not (store / "manifests").exists():
            build(str(store), Shape(given.cells, given.requests), _say)
        size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        took = verify(store, given.jobs)
    rebuilt = took.document["as_rebuilt"]
    assert isinstance(rebuilt, dict)
    print(
        f"{rebuilt['cells']} cells and {rebuilt['requests']} requests as rebuilt "
        f"({size / 2**20:.0f} MiB): {took.wall_s:.1f} s, {took.cpu_s:.1f} s of processor time, "
        f"{took.peak_bytes / 2**20:.0f} MiB at most, exit status {took.exit_status}"
    )
    print(f"load of this machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    slow = took.wall_s > SECONDS_PER_MILLION * max(1.0, rebuilt["requests"] / 1e6)
    return int(took.exit_status != 0 or slow)


if __name__ == "__main__":
    raise SystemExit(main())
