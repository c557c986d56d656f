"""The simulated object store in a process of its own, for as long as a block of code needs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from tidemark.simulator.process import SimulatorProcess, simulator_process

__all__ = ["oss_process"]


def oss_process(
    *options: str, environ: Mapping[str, str] | None = None
) -> AbstractContextManager[SimulatorProcess]:
    """`python -m tidemark.simulator.oss.server` with these options; it ends with the block, and
    with this process. Raises ConfigError when it does not get ready, with what it said."""
    return simulator_process("tidemark.simulator.oss.server", *options, environ=environ)
