"""Runs the commands of running jobs for real, on this machine, as whoever runs the simulator.

Only one pod of a job runs its command, the master where there is one; the others wait. A command
gets the job's own variables, those that DLC sets, and few of ours, and ends with the simulator at
the latest, and with it, on Linux, all that it started, as far as it leaves its guard alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidemark.clock import Clock, SystemClock
from tidemark.errors import ConfigError
from tidemark.simulator.clock import ScaledClock
from tidemark.simulator.pai.job import Job
from tidemark.simulator.pai.job_life import TERMINAL

__all__ = ["Commands"]

_INHERITED = ("PATH", "HOME", "LANG")
_CLOSING_S = 3.0
_KILLING_S = 6.0
_NOT_STARTED = 126
_LONGEST_LINE = 16_384
# By its path, and without what a job's variables say to Python.
_GUARD = (sys.executable, "-I", str(Path(__file__).with_name("guard.py")))


@dataclass(slots=True)
class _Running:
    """The guard of a command, the reader of its output, and the start of the Running segment it
    belongs to."""

    job: Job
    start_s: float
    guard: subprocess.Popen[str]
    reader: threading.Thread
    directory: Path
    terminated: bool = False

    def kill(self) -> None:
        """Have the guard kill all that runs: it does so when nobody holds its input."""
        assert self.guard.stdin is not None
        self.guard.stdin.close()


class Commands:
    """The commands that run. While one does, a faster clock runs at real speed.

    inherit: names of variables that commands get from `environ` beside PATH, HOME and LANG.
    Raises ConfigError for a clock that only moves when it is told to.
    """

    def __init__(
        self, clock: Clock, *, inherit: Sequence[str] = (), environ: Mapping[str, str] | None = None
    ) -> None:
        if not isinstance(clock, ScaledClock | SystemClock):
            raise ConfigError(
                "commands take real time, and this clock stands still", "execute", "Use ScaledClock"
            )
        self._clock = clock
        given = os.environ if environ is None else environ
        self._base = {name: given[name] for name in (*_INHERITED, *inherit) if name in given}
        self._running: dict[str, _Running] = {}
        self._speed: float | None = None

    def look(self, jobs: Iterable[Job]) -> None:
        """Start the commands of jobs that run now, end those of jobs that no longer do, and tell
        jobs of commands that have ended."""
        for job in jobs:
            now_s = self._clock.time()
            segment = job.life.at(now_s)
            running = self._running.get(job.job_id)
            if running is None:
                if segment.status == "Running":
                    self._start(job, segment.start_s)
                continue
            code = running.guard.poll()
            if code is not None:
                self._ended(running)
                if segment.status == "Running" and segment.start_s == running.start_s:
                    # After all that it wrote has been read, so that no line comes later.
                    job.exit(self._clock.time(), code if code >= 0 else 128 - code)
            elif segment.status in TERMINAL:
                running.kill()
            elif segment.start_s != running.start_s and not running.terminated:
                running.terminated = True
                running.guard.terminate()
        self._set_speed()

    def close(self) -> None:
        """End all commands: politely, then by force. Takes a few seconds at most."""
        for running in self._running.values():
            running.guard.terminate()
        end_s = time.monotonic() + _CLOSING_S
        for running in list(self._running.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.guard.wait(max(0.0, end_s - time.monotonic()))
            self._ended(running)
        self._set_speed()

    def _start(self, job: Job, start_s: float) -> None:
        document = job.document
        kind = job.leader().role.kind
        spec = next(one for one in document["JobSpecs"] if one["Type"] == kind)
        shell = (document.get("Settings") or {}).get("Shell") or "sh"
        # What does not come with the job's own image cannot be chosen here.
        program = shutil.which(Path(str(shell)).name) or "/bin/sh"
        command = spec.get("UserCommand") or document["UserCommand"]
        directory = Path(tempfile.mkdtemp(prefix="tidemark-simulator-"))
        try:
            # The guard starts the command: at no moment is there one without the other.
            guard = subprocess.Popen(
                [*_GUARD, program, "-c", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=directory,
                env=self._environment(job),
                process_group=0,
            )
        except (OSError, ValueError) as error:
            # Too long, or with a character that no command may have.
            shutil.rmtree(directory, ignore_errors=True)
            job.output.append((self._clock.time(), f"the command cannot be run: {error}"))
            job.exit(self._clock.time(), _NOT_STARTED)
            return
        reader = threading.Thread(target=self._read, args=(job, guard), daemon=True)
        reader.start()
        self._running[job.job_id] = _Running(job, start_s, guard, reader, directory)

    def _environment(self, job: Job) -> dict[str, str]:
        document = job.document
        own = dict(document.get("Envs") or {})
        own |= {one["Key"]: str(one.get("Value", "")) for one in document.get("CustomEnvs") or ()}
        return {
            **self._base,
            "DLC_JOB_ID": job.job_id,
            "JOB_NAME": job.request.name,
            "PAI_WORKSPACE_ID": job.request.workspace_id,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": "23456",
            # The other pods only wait: for a command that counts, it is alone.
            "WORLD_SIZE": "1",
            "RANK": "0",
            **own,
        }

    def _read(self, job: Job, guard: subprocess.Popen[str]) -> None:
        assert guard.stdout is not None
        while line := guard.stdout.readline(_LONGEST_LINE):
            job.output.append((self._clock.time(), line.rstrip("\n")))

    def _ended(self, running: _Running) -> None:
        # What it left behind goes with it, and lets go of the pipe.
        running.kill()
        try:
            running.guard.wait(_KILLING_S)
        except subprocess.TimeoutExpired:
            running.guard.kill()
            running.guard.wait()
        running.reader.join(timeout=1.0)
        if not running.reader.is_alive() and running.guard.stdout is not None:
            running.guard.stdout.close()
        shutil.rmtree(running.directory, ignore_errors=True)
        del self._running[running.job.job_id]

    def _set_speed(self) -> None:
        if not isinstance(self._clock, ScaledClock):
            return
        if self._running and self._speed is None:
            self._speed, self._clock.speed = self._clock.speed, 1.0
        elif not self._running and self._speed is not None:
            self._clock.speed, self._speed = self._speed, None
