"""When a call is sent again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a call is tried.

    After attempt `n` (from 1) the wait is drawn evenly from 0 to
    `min(most_wait_s, first_wait_s * 2 ** (n - 1))` seconds, unless the service says how long to
    wait: then that is waited, and a tenth of it more at most, so that not all come back at once.
    No attempt begins after `total_s` seconds, and a longer wait is not begun either.
    """

    attempts: int = 4
    first_wait_s: float = 0.5
    most_wait_s: float = 20.0
    total_s: float = 120.0

    def wait_s(self, attempt: int, hint_s: float | None, draw: random.Random) -> float:
        """Seconds to wait after attempt number `attempt`, from 1."""
        if hint_s is not None:
            return hint_s * (1 + draw.random() / 10)
        return draw.uniform(0, min(self.most_wait_s, self.first_wait_s * 2 ** (attempt - 1)))
