"""Ending a run early, with the cells it has."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["STOP", "Stop"]

T = TypeVar("T")
POLL_S = 0.1


@dataclass(slots=True)
class Stop:
    """Whether a run is to end now, and why. May be asked from any thread or signal handler."""

    reason: str | None = None

    @property
    def asked(self) -> bool:
        """Whether the run is to end."""
        return self.reason is not None

    def ask(self, reason: str) -> None:
        """End the run; the first reason stands."""
        self.reason = self.reason or reason

    async def unless_asked(self, working: Coroutine[Any, Any, T]) -> T | None:
        """What is worked out, or None when the run was ended meanwhile."""
        work = asyncio.create_task(working)
        try:
            while not work.done():
                if self.asked:
                    return None
                await asyncio.wait([work], timeout=POLL_S)
            return work.result()
        finally:
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work


STOP: ContextVar[Stop | None] = ContextVar("tidemark_stop", default=None)
"""Set by the terminal before the flow starts, so that Ctrl-C can end it."""
