"""How long a store is waited for, and how often it is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_exponential,
    wait_random,
)

from tidemark.errors import StoreBusy

__all__ = ["Patience"]

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """A request is tried up to `tries` times, and not again once `longest_s` have passed.

    Before the n-th repetition it waits min(first_wait_s * 2**(n-1), longest_wait_s) + u, u being
    drawn evenly from 0 to `first_wait_s`, so that many writers do not come back at once. One try
    ends after `connect_s` without a connection, or `answer_s` without a sign of an answer.
    """

    tries: int = 3
    first_wait_s: float = 0.5
    longest_wait_s: float = 3.0
    longest_s: float = 20.0
    connect_s: float = 10.0
    answer_s: float = 15.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def call(self, request: Callable[[], Answer]) -> Answer:
        """What `request` returns; again after a StoreBusy, the last of which is raised."""
        begin = self.clock()

        def enough(state: RetryCallState) -> bool:
            return state.attempt_number >= self.tries or self.clock() - begin >= self.longest_s

        asking = Retrying(
            retry=retry_if_exception_type(StoreBusy),
            stop=enough,
            wait=wait_exponential(self.first_wait_s, self.longest_wait_s)
            + wait_random(0, self.first_wait_s),
            sleep=self.sleep,
            reraise=True,
        )
        return asking(request)
