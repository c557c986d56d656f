"""How long an answer truly takes: models of time to first token and time per token.

A model is asked once per request, when the request begins, and its answer holds
for that request: token i (from 0) is due at `begin + ttft_s + i * tpot_s`.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any, Literal

LatencyModelName = Literal["fixed", "queueing", "degrading"]


@dataclass(frozen=True, slots=True)
class Latency:
    """The true latencies of one request, in seconds."""

    ttft_s: float
    tpot_s: float


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Latencies as a function of load.

    - fixed: always `ttft_s` and `tpot_s`.
    - queueing: the same, but only `slots` requests run at once; the others wait,
      first come first served, and their latencies begin when they get a slot.
    - degrading: both grow with the other requests in flight at arrival,
      `base * (1 + others / knee)`, so that they double when `knee` others are there.

    `ttft_jitter` and `tpot_jitter` are relative half-widths: 0.1 draws a factor
    uniformly from 0.9 to 1.1 per request, from `seed` and the request's number,
    so that the same number always draws the same factors.
    """

    name: LatencyModelName = "fixed"
    ttft_s: float = 0.05
    tpot_s: float = 0.005
    slots: int = 8
    knee: float = 32.0
    ttft_jitter: float = 0.0
    tpot_jitter: float = 0.0
    seed: int = 0

    @property
    def slot_limit(self) -> int | None:
        """How many requests may run at once; None for any number."""
        return self.slots if self.name == "queueing" else None

    def latency(self, number: int, others_in_flight: int) -> Latency:
        """The latencies of request `number`, with so many others in flight as it begins."""
        growth = 1 + others_in_flight / self.knee if self.name == "degrading" else 1.0
        ttft_s, tpot_s = self.ttft_s * growth, self.tpot_s * growth
        if self.ttft_jitter or self.tpot_jitter:
            draw = random.Random(f"{self.seed}/{number}")
            ttft_s *= 1 + self.ttft_jitter * draw.uniform(-1, 1)
            tpot_s *= 1 + self.tpot_jitter * draw.uniform(-1, 1)
        return Latency(ttft_s=ttft_s, tpot_s=tpot_s)

    def as_json(self) -> dict[str, Any]:
        """The model as a JSON object."""
        return asdict(self)
