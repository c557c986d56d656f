"""Sweeps interrupted at random moments, again and again in the same round.

    python tests/drill/drill.py [--interruptions 50] [--budget-s 1800] [--seed 1] [--directory DIR]

Each round of the drill interrupts a few runs and then lets one finish. Afterwards no cell that was
finished may have been measured twice, none may be missing, nothing torn may be readable as a
result, and after each interruption no engine may be left running. What has been shown is written
to `DIR/state.json`; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from services import FlakyRoad, S3Server, small_disk

from tidemark.cli.prefect_server import TemporaryServer
from tidemark.engines.calibration import simulated_endpoint
from tidemark.plan.cells import cells
from tidemark.plan.load import load_plan
from tidemark.plan.sweep import SweepPlan
from tidemark.results.rounds import look_up
from tidemark.results.store import Store, open_store
from tidemark.simulator.tokenizer import build_tokenizer

PLAN = """
endpoint: {{url: "{url}", model: sim}}
scenarios: ["D(32,8)"]
concurrency: [6, 7, 8]
limits: {{max_requests: 80, max_time_s: 20, stall_timeout_s: 5, drain_s: 5}}
warmup: null
tokenizer: {tokenizer}
"""
SERVICE = ("--ttft-s", "0.15", "--tpot-s", "0.01", "--max-seconds", "7200")
MEASURING = b"Running iteration"
CELLS_OVER = b"Measuring what this client machine"
ENGINE_GONE_S = 30.0
RUN_OVER_S = 240.0
PER_ROUND = 5
COMPLETIONS = 4


class Failure(AssertionError):
    """The drill has shown that something is lost, doubled, torn or left over."""


@dataclass
class Place:
    """Where the results of one round of the drill lie, and how that place goes wrong."""

    uri: str
    environment: dict[str, str]
    break_it: Callable[[], None] | None
    mend_it: Callable[[], None] | None
    trouble: str


@dataclass
class Drill:
    """The world the sweeps run in: one Prefect server, one endpoint, one home."""

    directory: Path
    plan_file: Path
    environment: dict[str, str]
    dice: random.Random
    say: Callable[[str], None] = print
    start_s: float = 10.0
    cell_s: float = 3.0
    shown: Counter[str] = field(default_factory=Counter)

    @property
    def home(self) -> Path:
        return Path(self.environment["TIDEMARK_HOME"])

    @property
    def plan(self) -> SweepPlan:
        return load_plan(self.plan_file.read_text("utf-8"))

    @property
    def log(self) -> Path:
        """What all runs said."""
        return self.directory / "runs.log"

    # -- one run ---------------------------------------------------------------------------

    def start(self, place: Place, round_name: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable, "-m", "tidemark.cli", "sweep", str(self.plan_file),
                    "--store", place.uri, "--round", round_name,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment, **place.environment},
                start_new_session=True,
                cwd=self.directory,
            )  # fmt: skip

    def finish(self, place: Place, round_name: str) -> int:
        return self.start(place, round_name).wait(RUN_OVER_S)

    def time_one(self, place: Place, round_name: str) -> None:
        """Learn from an undisturbed run how long it takes to start, and how long a cell takes."""
        said, begin = self._said(), time.monotonic()
        process = self.start(place, round_name)
        self._wait_until_said(process, said, MEASURING)
        self.start_s = time.monotonic() - begin
        self._wait_until_said(process, said, CELLS_OVER)
        self.cell_s = (time.monotonic() - begin - self.start_s) / len(cells(self.plan))
        if process.wait(RUN_OVER_S) == 1:
            raise Failure(f"an undisturbed run failed; see {self.log}")

    def _said(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _wait_until_said(self, process: subprocess.Popen[bytes], said: int, words: bytes) -> None:
        while process.poll() is None:
            with self.log.open("rb") as log:
                log.seek(said)
                if words in log.read():
                    return
            time.sleep(0.05)

    def engines(self) -> list[psutil.Process]:
        """Every process of the drill's home: engines, and endpoints that floors are measured by."""
        found = []
        for process in psutil.process_iter(["pid", "cmdline"]):
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.info["cmdline"] or ())
                if "genai_bench_launcher" in words and self._is_ours(process):
                    found.append(process)
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        return process.environ().get("HOME", "").startswith(str(self.home))

    def expect_no_engine(self) -> None:
        deadline = time.monotonic() + ENGINE_GONE_S
        while left := self.engines():
            if time.monotonic() > deadline:
                raise Failure(f"engine processes are left: {[p.pid for p in left]}")
            time.sleep(0.1)

    # -- interruptions ---------------------------------------------------------------------

    def interrupt(self, kind: str, place: Place, round_name: str) -> str | None:
        """Start a run and do `kind` to it at a random moment; answers what came of the run.

        None when the run was over before that moment: then nothing was interrupted.
        """
        said = self._said()
        process = self.start(place, round_name)
        # Most of a short run is its start: four of five moments are drawn from its work.
        if self.dice.random() < 0.2:
            phase, moment_s = "starting", self.dice.uniform(0.0, self.start_s)
        else:
            self._wait_until_said(process, said, MEASURING)
            left = len(cells(self.plan)) - self._finished_cells(place, round_name)
            phase, moment_s = "work", self.dice.uniform(0.0, left * self.cell_s)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment_s)
            return None
        if kind in ("kill engine", "kill both"):
            for engine in self.engines():
                with contextlib.suppress(psutil.Error):
                    engine.kill()
        if kind in ("kill flow", "kill both"):
            process.kill()
        elif kind == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        elif kind == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        elif kind == "tidemark cancel":
            self._cancel(place)
        elif kind == place.trouble and place.break_it is not None:
            place.break_it()
        try:
            status = process.wait(RUN_OVER_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Failure(f"a run did not end after: {kind}") from None
        finally:
            if kind == place.trouble and place.mend_it is not None:
                place.mend_it()
        return f"after {moment_s:.1f} s of {phase}, exit status {status}"

    def _finished_cells(self, place: Place, round_name: str) -> int:
        with _environment(place.environment):
            store = open_store(place.uri)
            return len(look_up(store, cells(self.plan), round_name).measured)

    def _cancel(self, place: Place) -> None:
        """As a person would: look which run is at work, and ask it to stop."""
        command = [sys.executable, "-m", "tidemark.cli"]
        environment = {**self.environment, **place.environment}
        listed = subprocess.run(
            [*command, "runs", "--store", place.uri, "--json"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        runs = json.loads(listed.stdout or b"[]")
        for run in runs:
            if run["state"] == "running":
                subprocess.run(
                    [*command, "cancel", run["run_id"], "--store", place.uri, "--wait", "1"],
                    env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    check=False,
                )  # fmt: skip

    # -- what must hold --------------------------------------------------------------------

    def audit(self, place: Place) -> Store:
        """Nothing torn is readable: every row has its requests and its evidence, as written."""
        with _environment(place.environment):
            store = open_store(place.uri)
            for row in store.cells().to_pylist():
                stored = store.stored(row)
                requests = store.files.read(stored.requests_part)
                if hashlib.sha256(requests).hexdigest() != row["requests_sha256"]:
                    raise Failure(f"{stored.requests_part} is not what its row says")
                evidence = store.evidence(row["cell_id"], row["attempt_id"])
                if evidence.sha256 != row["evidence_sha256"]:
                    raise Failure(f"{stored.raw_folder} is not what its row says")
            return store

    def expect_whole_round(self, place: Place, round_name: str) -> None:
        """Each cell of the plan has one valid attempt, and none after it."""
        store = self.audit(place)
        planned = cells(self.plan)
        with _environment(place.environment):
            rows = store.find_cells({cell.cell_id for cell in planned}, round_name)
            for cell in planned:
                attempts = [row for row in rows if row["cell_id"] == cell.cell_id]
                verdicts = [row["validity"] for row in attempts]
                if verdicts.count("valid") != 1 or verdicts[-1] != "valid":
                    raise Failure(f"concurrency {cell.concurrency} of {round_name}: {verdicts}")
                judged = {row["attempt_id"] for row in attempts}
                unjudged = [
                    attempt_id
                    for attempt_id in set(store.attempts(cell.cell_id)) - judged
                    if store.evidence(cell.cell_id, attempt_id).run.round == round_name
                ]
                if unjudged:
                    raise Failure(f"{round_name}: measured and never judged: {unjudged}")
            last = [run for run in store.runs().to_pylist() if run["round"] == round_name][-1]
            counted = {cell["cell_id"] for cell in last["cells"]}
            if counted != {cell.cell_id for cell in planned}:
                raise Failure(f"{round_name}: the last run does not count every cell")

    # -- one round -------------------------------------------------------------------------

    def round(self, name: str, place: Place, kinds: list[str]) -> None:
        """Interrupt one run after another, then let one finish, and look at everything."""
        for kind in kinds:
            how = self.interrupt(kind, place, name)
            self.expect_no_engine()
            self.audit(place)
            if how is None:
                self.say(f"{name}: a run was over before: {kind}")
                break
            self.shown[kind] += 1
            self.say(f"{name}: {kind} {how}")
        for _ in range(COMPLETIONS):  # a busy client may need another try for a valid cell
            begin = time.monotonic()
            status = self.finish(place, name)
            if status == 0:
                break
            self.say(f"{name}: ended with exit status {status}")
        else:
            raise Failure(f"{name}: never complete; see {self.log}")
        self.expect_no_engine()
        self.expect_whole_round(place, name)
        self.say(f"{name}: complete after {time.monotonic() - begin:.1f} s, every cell once")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def prepared(directory: Path, *, seed: int, say: Callable[[str], None] = print) -> Iterator[Drill]:
    """The drill's world: endpoint, tokenizer, Prefect server, and a home with the engines."""
    from tidemark.config import load_config

    directory.mkdir(parents=True, exist_ok=True)
    home = directory / "home"
    home.mkdir(exist_ok=True)
    engines = load_config(os.environ, Path.cwd()).engines.resolve()
    if not (home / "engines").exists():
        (home / "engines").symlink_to(engines)
    if not (directory / "tokenizer").exists():
        build_tokenizer(directory / "tokenizer")
    environment = {
        **os.environ,
        "TIDEMARK_HOME": str(home),
        "PREFECT_HOME": str(directory / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    environment.pop("PREFECT_API_URL", None)
    with simulated_endpoint(*SERVICE) as ready:
        plan_file = directory / "plan.yaml"
        text = PLAN.format(url=ready["url"], tokenizer=directory / "tokenizer")
        plan_file.write_text(text, "utf-8")
        server = TemporaryServer.start(environment)
        try:
            server.wait()
            environment["PREFECT_API_URL"] = server.url
            yield Drill(directory, plan_file, environment, random.Random(seed), say)
        finally:
            server.stop()


def fill(folder: Path) -> Callable[[], None]:
    """Fills the disk that a folder lies on, up to the last byte."""

    def fill_it() -> None:
        with (folder / "filler").open("ab", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(b"\0" * size)

    return fill_it


def _main() -> int:
    parser = argparse.ArgumentParser(description="Interrupt sweeps at random moments.")
    parser.add_argument("--interruptions", type=int, default=50)
    parser.add_argument("--budget-s", type=float, default=1800.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=Path("drill"))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started ends too
    directory = given.directory.absolute()
    state_file = directory / "state.json"
    state: dict[str, Any] = {"rounds": 0, "shown": {}, "spent_s": 0.0}
    if state_file.exists():
        state = json.loads(state_file.read_text("utf-8"))
        print(f"going on: {state['shown']} are shown")
    begin = time.monotonic() - state["spent_s"]
    with contextlib.ExitStack() as stack:
        drill = stack.enter_context(prepared(directory, seed=given.seed + 1000 * state["rounds"]))
        drill.shown = Counter(state["shown"])
        disk = stack.enter_context(small_disk(directory / "disk", size_bytes=64 << 20))
        s3 = stack.enter_context(S3Server.running())
        if disk is None:
            print("no right to mount a small disk: 'full disk' is not shown on this machine")
        calibration = Place(str(directory / "calibration"), {}, None, None, "")
        for what in ("floors are measured", "floors are known"):
            drill.time_one(calibration, f"{what} {time.time():.0f}")
        print(f"a run takes {drill.start_s:.1f} s to start, and a cell {drill.cell_s:.1f} s")
        while (done := sum(drill.shown.values())) < given.interruptions:
            spent_s = time.monotonic() - begin
            if spent_s > given.budget_s:
                print(
                    f"{done} of {given.interruptions} interruptions in {spent_s:.0f} s: the time "
                    "is up; the same command goes on"
                )
                return 4
            number = state["rounds"] + 1
            place = stack.enter_context(_place(number, disk, s3))
            kinds = [
                "kill flow",
                "kill engine",
                "kill both",
                "Ctrl-C",
                "SIGTERM",
                "tidemark cancel",
            ]
            kinds = drill.dice.sample(kinds, PER_ROUND - 2) + [place.trouble] * 2
            drill.dice.shuffle(kinds)
            drill.round(
                f"round-{given.seed}-{number}",
                place,
                [kind for kind in kinds if kind][: given.interruptions - done],
            )
            state = {
                "rounds": number,
                "shown": dict(drill.shown),
                "spent_s": time.monotonic() - begin,
            }
            state_file.write_text(json.dumps(state, indent=2), "utf-8")
    spent_s = time.monotonic() - begin
    print(
        f"{sum(drill.shown.values())} interruptions in {state['rounds']} rounds, {spent_s:.0f} s: "
        f"{dict(drill.shown)}"
    )
    print(
        "no finished cell was measured twice, none is missing, nothing torn is readable, "
        "no engine was left"
    )
    return 0


@contextlib.contextmanager
def _place(number: int, disk: Path | None, s3: S3Server) -> Iterator[Place]:
    """A folder on a disk that can be full, or a bucket on a service that can be cut off."""
    if number % 2 and disk is not None:
        folder = disk / f"results-{number}"
        folder.mkdir()
        filler = disk / "filler"
        yield Place(
            str(folder), {}, fill(disk), lambda: filler.unlink(missing_ok=True), "full disk"
        )
        return
    with FlakyRoad.to(s3.port) as road:
        s3.create_bucket(f"drill-{number}")
        environment = {**s3.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{road.port}"}
        yield Place(f"s3://drill-{number}/results", environment, road.cut, road.mend, "store dies")


if __name__ == "__main__":
    sys.exit(_main())
