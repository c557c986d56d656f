"""Runs the commands of running jobs for real, on this machine, as whoever runs the simulator.

Only one pod of a job runs its command, the master where there is one; the others wait. A command
gets the job's own variables, those that DLC sets, and few of ours, and ends with the simulator at
the latest.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
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
_LONGEST_LINE = 16_384
# Reads until the simulator lets go of the other end, however it ended, and ends the group.
_GUARD = ("/bin/sh", "-c", 'trap "" TERM; read _; kill -s KILL 0')


@dataclass(slots=True)
class _Running:
    """A command's process and its guard in one group, the reader of its output, and the start of
    the Running segment it belongs to."""

    job: Job
    start_s: float
    process: subprocess.Popen[str]
    guard: subprocess.Popen[bytes]
    reader: threading.Thread
    directory: Path
    terminated: bool = False

    def kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.guard.pid, number)


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
            code = running.process.poll()
            if code is not None:
                self._ended(running)
                if segment.status == "Running" and segment.start_s == running.start_s:
                    # After all that it wrote has been read, so that no line comes later.
                    job.exit(self._clock.time(), code if code >= 0 else 128 - code)
            elif segment.status in TERMINAL:
                running.kill(signal.SIGKILL)
            elif segment.start_s != running.start_s and not running.terminated:
                running.terminated = True
                running.kill(signal.SIGTERM)
        self._set_speed()

    def close(self) -> None:
        """End all commands: politely, then by force. Takes a few seconds at most."""
        for running in self._running.values():
            running.kill(signal.SIGTERM)
        end_s = time.monotonic() + _CLOSING_S
        for running in list(self._running.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(max(0.0, end_s - time.monotonic()))
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
        # The guard comes first, and leads the group: at no moment is there a command without one.
        guard = subprocess.Popen(_GUARD, stdin=subprocess.PIPE, process_group=0)
        process = subprocess.Popen(
            [program, "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=directory,
            env=self._environment(job),
            process_group=guard.pid,
        )
        reader = threading.Thread(target=self._read, args=(job, process), daemon=True)
        reader.start()
        self._running[job.job_id] = _Running(job, start_s, process, guard, reader, directory)

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

    def _read(self, job: Job, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        while line := process.stdout.readline(_LONGEST_LINE):
            job.output.append((self._clock.time(), line.rstrip("\n")))

    def _ended(self, running: _Running) -> None:
        # What it left behind in its group goes with it, and lets go of the pipe.
        running.kill(signal.SIGKILL)
        running.process.wait()
        running.guard.communicate()
        running.reader.join(timeout=1.0)
        if not running.reader.is_alive() and running.process.stdout is not None:
            running.process.stdout.close()
        shutil.rmtree(running.directory, ignore_errors=True)
        del self._running[running.job.job_id]

    def _set_speed(self) -> None:
        if not isinstance(self._clock, ScaledClock):
            return
        if self._running and self._speed is None:
            self._speed, self._clock.speed = self._clock.speed, 1.0
        elif not self._running and self._speed is not None:
            self._clock.speed, self._speed = self._speed, None
