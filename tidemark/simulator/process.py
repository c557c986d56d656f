"""A simulator in a process of its own, for as long as a block of code needs it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tidemark.errors import ConfigError

__all__ = ["EndpointProcess", "SimulatorProcess", "endpoint_process", "simulator_process"]

_START_LIMIT_S = 30.0
_STOP_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class SimulatorProcess:
    """A running simulator: where it listens, and its process."""

    url: str
    port: int
    pid: int
    process: subprocess.Popen[str]


EndpointProcess = SimulatorProcess


def endpoint_process(
    *options: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[SimulatorProcess]:
    """An endpoint: `python -m tidemark.simulator.endpoint` with these options."""
    return simulator_process("tidemark.simulator.endpoint", *options, environ=environ)


@contextmanager
def simulator_process(
    module: str, *options: str, environ: Mapping[str, str] | None = None
) -> Iterator[SimulatorProcess]:
    """Start `python -m MODULE` with these options; stop it at the end.

    It also ends when this process does. Raises ConfigError when it does not get
    ready, with what it said.
    """
    command = [sys.executable, "-m", module, *options]
    process = subprocess.Popen(
        [*command, "--parent-pid", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=None if environ is None else dict(environ),
    )
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], _START_LIMIT_S)
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            said = process.communicate()[1].strip()
            raise ConfigError(f"the simulator did not start: {said}", " ".join(options))
        told = json.loads(line)
        yield SimulatorProcess(told["url"], told["port"], told["pid"], process)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
